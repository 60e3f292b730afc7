from __future__ import annotations

import math
import re

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vault_scheduler.notes.yaml_core import compose_mapping, load
from vault_scheduler.notes.yaml_errors import YamlProblem
from vault_scheduler.notes.yaml_writing import quoted, scalar

MEANINGS = [
    ("off", "off"),  # YAML 1.1 says False
    ("yes", "yes"),
    ("n", "n"),
    ("true", True),
    ("TRUE", True),
    ("False", False),
    ("tRue", "tRue"),
    ("7:30", "7:30"),  # sexagesimal in YAML 1.1
    ("010", 10),  # octal in YAML 1.1
    ("0o10", 8),
    ("0x1F", 31),
    ("1_000", "1_000"),
    ("-3", -3),
    ("+3", 3),
    ("1.50", 1.5),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("-.inf", -math.inf),
    ("1.2.3", "1.2.3"),
    ("2026-11-20", "2026-11-20"),
    ("2026-02-30", "2026-02-30"),  # an impossible date is text too
    ("2026-11-20T07:00:00", "2026-11-20T07:00:00"),
    ("null", None),
    ("~", None),
    ("", None),
    ("Null", None),
    ("none", "none"),
    ("0 7 * * *", "0 7 * * *"),
    ("'true'", "true"),
    ('"\\u00e9"', "é"),
    ("[a, 1, [true]]", ["a", 1, [True]]),
    ("{a: 1}", {"a": 1}),
    ("!!str 12", "12"),
    ("=", "="),
    ("<<", "<<"),
    ("#daily", None),  # a comment
    ("a\u2028b\u0085c", "a\u2028b\u0085c"),  # no line breaks in YAML 1.2
]


@pytest.mark.parametrize(("source", "meaning"), MEANINGS)
def test_values_have_the_core_meaning(source: str, meaning: object) -> None:
    """A value means what Obsidian's YAML 1.2 reader makes of it."""
    value = load(f"key: {source}\n")
    assert value == {"key": meaning}
    assert isinstance(value, dict)
    assert type(value["key"]) is type(meaning)


def test_keys_are_text() -> None:
    """Keys that look like other types are text, and `<<` is an ordinary key."""
    assert load("1: a\non: b\n~: c\n<<: d\n") == {"1": "a", "on": "b", "~": "c", "<<": "d"}


def test_tab_after_colon_is_accepted() -> None:
    """Obsidian accepts a tab between colon and value."""
    assert load("key:\tvalue") == {"key": "value"}


PROBLEMS = [
    # text, line, key, part of message, part of fix
    ("a: 1\ncron: */5 * * * *\n", 1, "cron", "YAML", 'cron: "*/5 * * * *"'),
    ("cron: * * * * *\n", 0, "cron", "YAML", 'cron: "* * * * *"'),
    ("cron: @daily\n", 0, "cron", "YAML", 'cron: "@daily"'),
    ("t: `x`\n", 0, "t", "YAML", 't: "`x`"'),
    ("t: a: b\r\n", 0, "t", "YAML", 't: "a: b"'),
    ('t: say "x": y\n', 0, "t", "YAML", 't: "say \\"x\\": y"'),
    ("a: 1\nb: 2\na: 3\n", 2, "a", "twice", "Keep one"),
    ("a:\n\t- b\n", 1, "", "tab", "spaces"),
    ('a: "b\nc: d\n', 0, "a", "YAML", "quote"),
    ("a: [b\nc: d\n", 0, "a", "YAML", "bracket"),
    ("a: !x b\n", 0, "", "tag", "Remove"),
    ("a: !!int x\n", 0, "", "cannot be read as int", "quotes"),
    ("a: 0x" + "f" * 5000 + "\n", 0, "", "cannot be read as int", "quotes"),  # nobody could print it
    ("a: " + "9" * 400 + "\n", 0, "", "cannot be read as int", "quotes"),  # no float could hold it
    ("a: !!binary eA==\n", 0, "", "tag", "Remove"),
    ("x: {{date}}\n", 0, "", "key belongs", "{{date}}"),
    ("a: 1\nb: \x1b[0m\n", 1, "", "U+001B", "Delete"),
    ("a: *nowhere\n", 0, "a", "YAML", '"*nowhere"'),
]


@pytest.mark.parametrize(("text", "line", "key", "message", "fix"), PROBLEMS)
def test_problem_names_line_key_and_fix(text: str, line: int, key: str, message: str, fix: str) -> None:
    """What is not plainly valid is refused on the line that has to change, with what to write."""
    with pytest.raises(YamlProblem) as caught:
        load(text)
    problem = caught.value
    assert (problem.line, problem.key) == (line, key)
    assert message in problem.message
    assert fix in problem.fix


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "? " * 100_000])
def test_deep_nesting_is_refused_before_the_parser_recurses(text: str) -> None:
    """Nesting that would overflow the C parser's stack and kill the daemon is a problem of the note."""
    with pytest.raises(YamlProblem):
        load(text)


def test_too_many_values_are_called_that() -> None:
    """A flat list of 20,000 properties is not nested."""
    with pytest.raises(YamlProblem, match="too many values") as caught:
        load("".join(f"k{number}: 1\n" for number in range(20_001)))
    assert caught.value.line > 19_000
    assert "body" in caught.value.fix


def test_spans_cover_exactly_the_values() -> None:
    """Spans end with the value: not at the comments behind a block list, not at the blank lines behind a literal."""
    text = "é: &x 1 # c\nb: *x\nc:\n- 1\n- 🎉\n# cc\nd: |+\n  x\n\n# k\ne: # z\nf: 'x\n  y'   \nh: {a: 1,\n b: 2}\n"
    spans = compose_mapping(text)
    assert spans is not None
    assert {key: text[e.value_start : e.value_end] for key, e in spans.entries.items()} == {
        "é": "&x 1",
        "b": "*x",
        "c": "- 1\n- 🎉",
        "d": "|+\n  x",
        "e": "",
        "f": "'x\n  y'",
        "h": "{a: 1,\n b: 2}",
    }
    assert [e.line for e in spans.entries.values()] == [0, 1, 2, 6, 10, 11, 13]


SCALARS: list[tuple[str | bool | int | None, str]] = [
    ("active", "active"),
    ("two words", "two words"),
    ("off", '"off"'),
    ("No", '"No"'),
    ("", '""'),
    ("0 7 * * *", '"0 7 * * *"'),
    ("2026-11-20T07:00:00", "2026-11-20T07:00:00"),
    ("a: b", '"a: b"'),
    ("a #b", '"a #b"'),
    ("a ", '"a "'),
    ("exit 1: no", '"exit 1: no"'),
    ('say "x"\\', '"say \\"x\\"\\\\"'),
    ("two\nlines", '"two\\nlines"'),
    ("é", '"é"'),
    ("a\u2028b", '"a\\u2028b"'),
    (True, "true"),
    (False, "false"),
    (7, "7"),
    (None, ""),
]


@pytest.mark.parametrize(("value", "source"), SCALARS)
def test_scalars_are_quoted_when_any_reader_could_misread_them(value: str | bool | int | None, source: str) -> None:
    """Plain only where YAML 1.1 and 1.2 agree that it is this text."""
    assert scalar(value) == source


def test_the_old_quote_style_is_kept() -> None:
    """A value in single or double quotes stays in them where it can."""
    assert scalar("it's", old="'x'") == "'it''s'"
    assert scalar("active", old='"x"') == '"active"'
    assert scalar("two\nlines", old="'x'") == '"two\\nlines"'
    assert scalar(None, flow=True) == "null"


@given(st.text())
@example("0000-00-00")
@example("2026-02-30T07:00:00")
def test_every_text_reads_back_in_both_yaml_versions(value: str) -> None:
    """What we write as a string is that string for YAML 1.1 (PyYAML) and YAML 1.2 readers; dates are Obsidian's."""
    assume(not re.fullmatch(r"[1-9]\d{3}-(0[1-9]|1[0-2])-([01][1-9]|10|2[0-8])(T.*)?", value))
    for source in (scalar(value), scalar(value, old="'x'"), quoted(value)):
        assert load(f"key: {source}\n") == {"key": value}
        assert yaml.safe_load(f"key: {source}\n") == {"key": value}
    assert load(f"{{key: {scalar(value, flow=True)}}}\n") == {"key": value}


@given(st.text(alphabet="ab:-#'\"[]{},&*!|>%@`? \n\t\u0085\u2028é1", max_size=40))
def test_load_answers_or_explains(text: str) -> None:
    """Any text is read or refused with a line inside it; nothing else comes out, and spans agree with the reading."""
    problem: YamlProblem | None = None
    try:
        value = load(text)
    except YamlProblem as refusal:
        problem = refusal
    if problem is not None:
        assert 0 <= problem.line <= text.count("\n") + 1
        assert problem.message
        return
    spans = compose_mapping(text)
    if isinstance(value, dict):
        assert spans is not None
        assert list(spans.entries) == list(value)
