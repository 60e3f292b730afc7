from __future__ import annotations

import pytest

from vault_scheduler.errors import BadExpression
from vault_scheduler.triggers.cron import ALIASES, FIELDS, parse_cron

# written, the five fields with explicit values, why it is here
UNDERSTOOD = [
    ("*/15 2 * * *", "0,15,30,45 2 * * *", "steps"),
    ("  0\t7 * *  1-5\n", "0 7 * * 1,2,3,4,5", "blanks of any kind"),
    (" @Daily\n", "0 0 * * *", "an alias in any case, with blanks around it"),
    ("0 5-5 * * *", "0 5 * * *", "a range of one is one value, not the whole cycle"),
    ("30-30 0 1-1 2-2 3-3", "30 0 1 2 3", "the same in every field"),
    ("0 0 * * 7", "0 0 * * 0", "Sunday is 7 as well as 0"),
    ("0 0 * * 7-7", "0 0 * * 0", "Sunday to Sunday"),
    ("0 0 * * 0-7", "0 0 * * 0,1,2,3,4,5,6", "all days"),
    ("0 0 * * 5-7", "0 0 * * 0,5,6", "Friday to Sunday"),
    ("0 0 * * 7-2", "0 0 * * 0,1,2", "Sunday to Tuesday"),
    ("0 0 * * sat-MON", "0 0 * * 0,1,6", "names, wrapping around the week"),
    ("0 22-2 * * *", "0 0,1,2,22,23 * * *", "past midnight"),
    ("0 22-4/3 * * *", "0 1,4,22 * * *", "a step goes on past midnight"),
    ("0 0 28-3 * *", "0 0 1,2,3,28,29,30,31 * *", "past the end of the month"),
    ("0 0 1 nov-feb *", "0 0 1 1,2,11,12 *", "past the end of the year"),
    ("5/15 * * * *", "5,20,35,50 * * * *", "a start and a step"),
    ("0 0 ? * ?", "0 0 * * *", "question marks"),
    ("0 0 L * *", "0 0 l * *", "the last day"),
    ("0 0 15,l,1 * *", "0 0 1,15,l * *", "the last day in a list"),
    ("0 0 29-L * *", "0 0 29,30,31 * *", "up to the last day"),
    ("0 0 15W * *", "0 0 15w * *", "the weekday nearest to the 15th"),
    ("0 0 w15 * ?", "0 0 15w * *", "the same the other way round"),
    ("0 0 * * FRI#3", "0 0 * * 5#3", "the third Friday"),
    ("0 0 * * 1#1,5#3", "0 0 * * 1#1,5#3", "two of them"),
    ("0 0 * * mon-wed#1", "0 0 * * 1#1,2#1,3#1", "the first of several days"),
    ("0 0 * * 7#2", "0 0 * * 0#2", "the second Sunday"),
    ("0 0 * * L5", "0 0 * * l5", "the last Friday"),
    ("0 0 * * L7,5#1", "0 0 * * l0,5#1", "the last Sunday and the first Friday"),
    ("007 07 01 01 *", "7 7 1 1 *", "leading zeros"),
]


@pytest.mark.parametrize(("written", "normal", "_why"), UNDERSTOOD, ids=[case[2] for case in UNDERSTOOD])
def test_an_expression_is_spelled_out(written: str, normal: str, _why: str) -> None:
    """Ranges, steps, names and signs become lists of values, so that nothing is left to be misread."""
    assert parse_cron(written).normal == normal


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_does_not_depend_on_the_task(alias: str) -> None:
    """@daily is midnight for every task: only H is hashed."""
    assert parse_cron(alias, "a-task").normal == parse_cron(ALIASES[alias]).normal
    assert parse_cron(alias).text == alias


# written, part of the reason, part of the fix
REFUSED = [
    ("", "empty", "0 7 * * 1-5"),
    ("   \n", "empty", "0 7 * * 1-5"),
    ("0 5 4 * * *", "6 fields", "'5 4 * * *'"),  # Quartz: seconds first
    ("0 0 5 4 * * *", "7 fields", "'0 5 4 * *'"),
    ("*/10 * * * * *", "6 fields", "every: 10s"),
    ("5 0 7 * * *", "6 fields", "every: 10s"),
    ("0 0 1 1 * 2027", "6 fields", "'0 0 1 1 *'; `start: 2027-01-01` and `until: 2027-12-31`"),
    ("0 7 * *", "4 fields", "all five"),
    ("15m", "1 field;", "every: 15m"),
    ("every 5 minutes", "3 fields", "every: 15m"),
    ("0 5 * * * /usr/bin/backup", "command", "'0 5 * * *'"),
    ("17 * * * * root run-parts x", "command", "'17 * * * *'"),
    ("CRON_TZ=UTC 0 7 * * *", "CRON_TZ=UTC", "`timezone`"),
    ("@reboot", "no time", "on_start: true"),
    ("@every 90s", "not cron", "every: 90s"),
    ("@fortnightly", "alias", "@weekly"),
    ("@daily *", "alias", "@daily"),
    ("R 7 * * *", "another time", "`H`"),
    ("0 R(0-5) * * *", "another time", "`H`"),
    ("r/10 * * * *", "another time", "`H`"),
    ("0 0 1,* * MON", "`*` in a list", "alone"),  # croniter: Mondays only
    ("*/10,5 * * * *", "`*/10` in a list", "0-59/10"),
    ("H,30 * * * *", "H in a list", "alone"),
    ("0 0 1 * 5#3", "5#3", "day of month"),  # croniter: wrong dates
    ("0 0 13 * L5", "L5", "day of month"),  # croniter: raises at run time
    ("* * L * 6#1", "6#1", "day of month"),
    ("0 0 */2 * 6#1", "6#1", "day of month"),
    ("0 0 15W * MON", "15W", "day of week"),  # croniter: drops MON
    ("0 0 15W,20 * *", "15W in a list", "alone"),
    ("0 0 1-15W * *", "1-15W", "15W"),
    ("0 0 LW * *", "last weekday", "L"),
    ("0 0 L-1 * *", "L-1", "25-L"),
    ("0 0 * * L", "L needs a day", "6 for Saturday"),
    ("0 0 * * 5L", "5L", "L5"),
    ("0 0 * * FRIL", "FRIL", "L5"),
    ("0 0 * * LFRI", "LFRI", "L5"),
    ("0 0 * * 5#6", "5#6", "1 to 5"),
    ("0 0 * * 5#0", "5#0", "1 to 5"),
    ("0 0 * * #2", "#2", "1 to 5"),
    ("0 0 * * 1#1,3", "beside a plain day", "list"),
    ("0 0 * * L5,3", "beside a plain day", "list"),
    ("0 24 * * *", "hour: 24", "written 0"),
    ("60 * * * *", "minute: 60", "written 0"),
    ("61 * * * *", "minute: 61", "0 to 59"),
    ("0 0 0 * *", "day of month: 0", "1 to 31"),
    ("0 0 32W * *", "day of month: 32", "1 to 31"),
    ("0 0 * 13 *", "month: 13", "1 to 12"),
    ("0 0 * * 8", "day of week: 8", "0 to 7"),
    ("0 0 * * L8", "day of week: 8", "0 to 7"),
    ("0 0 * january *", "'january'", "JAN"),
    ("0 0 * * Monday", "'monday'", "MON"),
    ("0 0 mon * *", "'mon'", "1 to 31"),
    ("0 0 * * lundi", "'lundi'", "SUN to SAT"),
    ("*/0 * * * *", "not a step", "*/2"),
    ("*/x * * * *", "not a step", "*/2"),
    ("*/ * * * *", "minute: '*/'", "0 to 59"),
    ("*-5 * * * *", "minute: '*-5'", "0 to 59"),
    ("-5 * * * *", "minute: '-5'", "0 to 59"),
    ("5- * * * *", "minute: '5-'", "0 to 59"),
    ("1.5 * * * *", "minute: '1.5'", "0 to 59"),
    ("0~30 * * * *", "`~`", "H(0-30)"),  # OpenBSD
    ("1,,2 * * * *", "between two commas", "comma"),
    ("? * * * *", "`?`", "`*`"),
    ("0 0 ?/2 * *", "`?`", "`*`"),
    ("H(30-10) * * * *", "backwards", "H(10-30)"),
    ("H(0-99) * * * *", "minute: 99", "0 to 59"),
    ("H/0 * * * *", "not a step", "*/2"),
    ("0 7 * * 1–5", "U+2013", "anew"),  # a dash from a phone's keyboard
    ("0 7\u00a0* * *", "U+00A0", "anew"),
    ("٠ 7 * * *", "U+0660", "anew"),
]


@pytest.mark.parametrize(("written", "reason", "fix"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_refusal_names_the_reason_and_the_fix(written: str, reason: str, fix: str) -> None:
    """What cron does not know, or what croniter reads in its own way, is refused with what to write instead."""
    with pytest.raises(BadExpression) as refused:
        parse_cron(written, "task")
    assert reason in refused.value.message
    assert fix in refused.value.fix


WARNED = [
    ("*/7 * * * *", "does not divide 60"),
    ("0-59/7 * * * *", "does not divide 60"),
    ("3/7 * * * *", "does not divide 60"),
    ("0 */5 * * *", "does not divide 24"),
    ("0 0 */2 * *", "does not divide 31"),
    ("0 0 * * */2", "does not divide 7"),
    ("*/61 * * * *", "larger than its range, so it means only 0"),
    ("0 */25 * * *", "means only 0"),
    ("59/15 * * * *", "means only 59"),
    ("0 9-17/10 * * *", "means only 9"),
    ("0 0 H * *", "some months lack"),
    ("0 0 H/10 * *", "some months lack"),
    ("H/7 * * * *", "does not divide 60"),
]


@pytest.mark.parametrize(("written", "warning"), WARNED, ids=[case[0] for case in WARNED])
def test_a_doubtful_step_is_pointed_out(written: str, warning: str) -> None:
    """A step that does not divide its field or exceeds it is legal, but seldom what was meant; so is H as a day."""
    (found,) = parse_cron(written, "task").warnings
    assert warning in found


@pytest.mark.parametrize(
    "written",
    ["*/15 */6 * * *", "0 9-17/2 * * 1-5", "5/20 * * */3 *", "H H(0-7) H(1-28) * *", "*/1 * * * *"],
)
def test_a_plain_expression_has_no_warning(written: str) -> None:
    """Steps that divide their field, and H where every month has the day, pass in silence."""
    assert parse_cron(written, "task").warnings == ()


@pytest.mark.parametrize(
    ("written", "wildcard"),
    [
        ("* 2 * * *", True),
        ("*/15 2 * * *", True),
        ("0 */2 * * *", True),
        ("@hourly", True),
        ("H * * * *", True),
        ("0-59 2 * * *", False),
        ("0 0-23 * * *", False),
        ("0 2 */2 * *", False),
        ("H H * * *", False),
        ("@daily", False),
    ],
)
def test_a_wildcard_is_a_minute_or_hour_that_begins_with_a_star(written: str, wildcard: bool) -> None:
    """It is the text that counts, as in Debian's cron: 0-23 is every hour, and fixed."""
    assert parse_cron(written, "task").wildcard is wildcard


@pytest.mark.parametrize(
    ("written", "both"),
    [
        ("0 0 1 * MON", False),
        ("0 0 */2 * MON", True),
        ("0 0 1 * */2", True),
        ("0 0 * * MON", True),
        ("0 0 1 * 0-7", False),
    ],
)
def test_two_day_fields_are_either_unless_one_begins_with_a_star(written: str, both: bool) -> None:
    """The 1st or a Monday; but an even day that is a Monday."""
    assert parse_cron(written).both_days is both


def test_h_is_one_time_per_task_that_stays() -> None:
    """The value depends on the task's id alone, as it does with croniter."""
    assert parse_cron("H H * * *", "task-a").normal == "3 13 * * *"
    assert parse_cron("H H * * *", "task-b").normal == "17 8 * * *"
    assert parse_cron("h(0-29)/10 H/8 * * *", "task-a").normal == "3,13,23 5,13,21 * * *"


def test_h_agrees_with_croniter() -> None:
    """Every form of H spreads tasks over the whole of its field, and as croniter does."""
    from croniter import croniter

    for number in range(50):
        hash_id = f"folder/task {number}"
        written = "H(5-50)/7 H H(1-28) H H/2"
        theirs, _ = croniter.expand(written, hash_id=hash_id.encode())
        ours = [[int(value) for value in part.split(",")] for part in parse_cron(written, hash_id).normal.split()]
        assert ours == theirs


def test_every_field_is_named_in_its_own_refusal() -> None:
    """The reason says which of the five fields is meant."""
    for field in FIELDS:
        parts = ["*"] * 5
        parts[field.index] = "99"
        with pytest.raises(BadExpression, match=f"^{field.name}: 99"):
            parse_cron(" ".join(parts))
