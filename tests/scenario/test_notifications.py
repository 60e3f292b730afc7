"""Who is told what, and when: the daemon under a fake clock, with a postman that carries nothing anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault_scheduler.daemon import notifier
from vault_scheduler.executors.base import RunRequest
from vault_scheduler.notifiers.base import Parcel
from vault_scheduler.run import Cause, Outcome, Result, Run
from vault_scheduler.testing import SUCCESS
from vault_scheduler.testing_world import SETTINGS, World

SIX = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)  # in Berlin
NEVER = "cron: 0 0 29 2 *\n"
HOUR = 3600.0
DAY = 24 * HOUR


def failed(reason: str = "exit 1: no such file") -> Result:
    return Result(outcome=Outcome.FAILURE, reason=reason, exit_code=1, text="cat: no such file")


def asks(question: str) -> Result:
    return Result(outcome=Outcome.BLOCKED, reason=question, question=question, session_id="s")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, SIX)
    world.notifiers = ("phone",)
    yield world
    world.close()


def titles(world: World) -> list[str]:
    return [parcel.title for parcel in world.parcels]


def run(world: World, result: Result = SUCCESS, task: str = "backup") -> None:
    """Run a task once, with this end."""
    world.script = lambda _: result
    world.request("run", task)


def later(world: World, seconds: float) -> None:
    """Let time go by at one stroke."""
    world.clock.advance(seconds)
    world.settle()


@pytest.fixture
def backup(world: World) -> World:
    world.command("backup", NEVER)
    world.start()
    return world


# incidents


def test_a_failure_is_told_at_once_with_its_reason_and_a_link(backup: World) -> None:
    """The first failure is one message: what, why, when, and how to open the note."""
    run(backup, failed())
    [told] = backup.parcels
    assert (told.receiver, told.title, told.kind) == ("phone", "❌ backup failed", "failure")
    assert told.body.split("\n\n") == [
        "exit 1: no such file",
        "cat: no such file",
        "2026-11-22 06:00 · 0 ms",
        "obsidian://open?vault=vault&file=00_system%2Ftasks%2Fbackup",
    ]


def test_repeats_are_counted_and_told_once_a_day(backup: World) -> None:
    """The same error, whatever its numbers, is told again after 24 hours, with how often it came."""
    for number in range(24):
        run(backup, failed(f"exit 1: no disk after {number} tries, id {number:08x}"))
        later(backup, HOUR)
    assert titles(backup) == ["❌ backup failed"]
    run(backup, failed("exit 1: no disk after 99 tries, id 0f00ba12"))
    assert titles(backup)[1:] == ["❌ backup still failing, 25 times since 2026-11-22 06:00"]


def test_another_error_is_another_incident(backup: World) -> None:
    """A task that fails for a new reason is told of again at once."""
    run(backup, failed())
    run(backup, Result(outcome=Outcome.TIMEOUT, reason="after 1 h"))
    assert titles(backup) == ["❌ backup failed", "❌ backup ran out of time"]


def test_the_first_success_after_a_told_failure_is_told(backup: World) -> None:
    """Recovery is one message; the next success is none, and the next failure is news again."""
    for result in (failed(), failed(), SUCCESS, SUCCESS, failed()):
        run(backup, result)
    assert titles(backup) == [
        "❌ backup failed",
        "✅ backup works again; it failed 2 times since 2026-11-22 06:00",
        "❌ backup failed",
    ]


def test_what_is_acknowledged_is_silent_until_it_ends(backup: World) -> None:
    """`ack` stops the reminders, not the recovery; what is new afterwards is told."""
    run(backup, failed())
    [silenced] = backup.call(backup.store.acknowledge(["backup"], backup.clock.now()))
    assert silenced.subject == "backup"
    later(backup, 2 * DAY)
    run(backup, failed())
    assert titles(backup) == ["❌ backup failed"]
    run(backup)
    run(backup, failed())
    assert titles(backup)[1:] == [
        "✅ backup works again; it failed 2 times since 2026-11-22 06:00",
        "❌ backup failed",
    ]


def test_a_task_that_comes_and_goes_is_not_told_of_for_ever(backup: World) -> None:
    """After ten messages in a day there is silence about it, and the tenth says so."""
    for _ in range(8):
        run(backup, failed())
        run(backup)
    assert len(backup.parcels) == 10
    assert "nothing more about it for a day" in backup.parcels[-1].body
    assert "nothing more" not in backup.parcels[-2].body
    later(backup, DAY + 60)
    run(backup, failed())
    assert len(backup.parcels) == 11


def test_an_incident_survives_a_restart_and_a_rename(backup: World) -> None:
    """What was told is in the ledger, and follows the task."""
    run(backup, failed())
    backup.restart()
    backup.rename("backup", "saving")
    backup.advance(60)
    run(backup, failed(), "saving")
    run(backup, SUCCESS, "saving")
    assert titles(backup) == ["❌ backup failed", "✅ saving works again; it failed 2 times since 2026-11-22 06:00"]


# kinds


def test_a_question_is_told_with_its_text(world: World) -> None:
    """What a run asks stands in the message, with where to answer."""
    world.write("plan", f"type: claude\n{NEVER}", body="Plan the week.\n")
    world.start()
    run(world, asks("Which week, 48 or 49?"), "plan")
    [told] = world.parcels
    assert told.title == "❓ plan asks"
    assert told.body.startswith("Which week, 48 or 49?\n\nType the answer into the property `answer`.")


def test_a_missing_login_is_told_once_for_all_tasks(world: World) -> None:
    """Ten tasks that nobody logged in for are one message; after a success it would be told again."""
    for name in ("a", "b"):
        world.write(name, f"type: claude\n{NEVER}", body="Do it.\n")
    world.start()
    refused = Result(outcome=Outcome.BLOCKED, reason="run `claude` and log in", cause=Cause.LOGIN)
    run(world, refused, "a")
    run(world, refused, "b")
    world.advance(120)
    assert titles(world) == ["❓ a is blocked"]
    run(world, SUCCESS, "b")
    run(world, refused, "a")
    assert titles(world) == ["❓ a is blocked", "❓ a is blocked"]


def test_a_fire_time_that_nothing_made_up_for_is_told_as_missed(world: World) -> None:
    """Too late is missed; where a later fire time runs in its place nobody needs to know."""
    world.command("report", "cron: 0 7 * * *\nmax_late: 1h")
    world.command("often", "cron: '*/30 * * * *'")
    world.start()
    world.down_until("12:10")
    assert titles(world) == ["⏭ report missed 1 × since 2026-11-22 12:10"]
    assert "2026-11-22 07:00" in world.parcels[0].body


def test_a_run_without_money_is_told_once(world: World) -> None:
    """Skipped for the budget: one message, however often it comes."""
    world.write_settings(f"{SETTINGS}vault_max_usd_day: 0.10\n", age_s=HOUR)
    world.write("brief", f"type: claude\n{NEVER}", body="Brief me.\n")
    world.start()
    run(world, SUCCESS, "brief")
    run(world, SUCCESS, "brief")
    assert titles(world) == ["💰 brief skipped for its budget"]
    assert world.parcels[0].body.startswith("budget: $0.00 spent today + $0.50 for this run is more than")


def test_a_broken_note_is_told_once_and_a_half_typed_one_not(world: World) -> None:
    """A problem that stands for a minute is told, once, also after a restart; one that goes before is not."""
    world.command("good", NEVER)
    world.start()
    world.edit("good", "cron:", "cronn:")
    world.advance(40)
    world.edit("good", "cronn:", "cron:")
    world.advance(120)
    assert titles(world) == []
    world.edit("good", "cron:", "cronn:")
    world.advance(120)
    assert titles(world) == ["⚠ good cannot run"]
    assert "00_system/tasks/good.md:1" in world.parcels[0].body
    world.restart()
    world.advance(300)
    assert len(world.parcels) == 1
    world.edit("good", "cronn:", "cron:")
    world.advance(120)
    world.edit("good", "cron:", "cronn:")
    world.advance(120)
    assert titles(world) == ["⚠ good cannot run", "⚠ good cannot run"]


def test_a_success_carries_its_text_to_those_who_want_it(world: World) -> None:
    """`notify: success` sends what the run brought back; by default no success is told."""
    world.command("weather", f"{NEVER}notify: [success, failure]")
    world.command("quiet", NEVER)
    world.start()
    sunny = Result(outcome=Outcome.SUCCESS, text="**Sunny**, 21°", markdown=True)
    run(world, sunny, "quiet")
    run(world, sunny, "weather")
    [told] = world.parcels
    assert (told.title, told.kind) == ("✅ weather", "success")
    assert told.body.startswith("**Sunny**, 21°\n\n2026-11-22 06:00")


def test_a_task_that_paused_itself_is_told(world: World) -> None:
    """After so many failures nothing of it runs any more: that is a message of its own."""
    world.command("backup", f"{NEVER}pause_after: 3")
    world.start()
    for _ in range(3):
        run(world, failed())
    assert titles(world) == ["❌ backup failed", "⏸ backup paused itself"]
    assert world.parcels[-1].body.startswith("3 failures in a row. Nothing of it runs until its note says")


# who


def test_a_task_says_who_is_told_of_what(world: World) -> None:
    """`notify: none` is silence, `notify_to` chooses; names that this machine does not know are passed over."""
    world.notifiers = ("phone", "mail")
    for name, keys in {
        "silent": "notify: none",
        "empty": "notify: []",
        "mailed": "notify_to: mail",
        "half": "notify_to: [mail, pager]",
        "lost": "notify_to: pager",
        "choosy": "notify: missed",
    }.items():
        world.command(name, f"{NEVER}{keys}")
    world.start()
    for name in ("silent", "empty", "mailed", "half", "lost", "choosy"):
        run(world, failed(), name)
    told = sorted((parcel.title.split()[1], parcel.receiver) for parcel in world.parcels)
    assert told == [("half", "mail"), ("lost", "mail"), ("lost", "phone"), ("mailed", "mail")]


def test_the_settings_note_speaks_for_tasks_that_say_nothing(world: World) -> None:
    """`notify` in the settings note is the default of all tasks."""
    world.write_settings(f"{SETTINGS}notify: [success]\n", age_s=HOUR)
    world.command("backup", NEVER)
    world.start()
    run(world, failed())
    run(world)
    assert titles(world) == ["✅ backup"]


def test_without_a_notifier_nothing_is_put_down(backup: World) -> None:
    """A machine that tells nobody keeps no list of what it would tell, and finds none when it gets a notifier."""
    backup.stop()
    backup.notifiers = ()
    backup.start()
    backup.advance(1)
    run(backup, failed())
    assert backup.history("backup")[-1].endswith("failure")
    backup.stop()
    backup.notifiers = ("phone",)
    backup.start()
    backup.advance(120)
    assert backup.parcels == []


# sending


def test_more_than_three_that_wait_become_one(world: World) -> None:
    """Five failures that nobody could be told of arrive as one message."""
    for number in range(5):
        world.command(f"t{number}", NEVER)
    world.start()
    world.mail = lambda _: "no route to host"
    for number in range(5):
        run(world, failed(f"error of t{number}"), f"t{number}")
    world.parcels.clear()
    world.mail = lambda _: ""
    world.advance(HOUR)
    [told] = world.parcels
    assert told.title == "vault-sched: 5 messages"
    assert [part.split("\n") for part in told.body.split("\n\n")] == [
        [f"❌ t{number} failed", f"error of t{number}"] for number in range(5)
    ]


def test_messages_wait_for_the_end_of_the_quiet_hours(world: World) -> None:
    """Over midnight, nothing is sent; in the morning all of it is."""
    world.write_settings(f"{SETTINGS}quiet_hours: 22:00-07:00\n", age_s=HOUR)
    world.command("night", "cron: 0 23,3 * * *")
    world.script = lambda request: failed(f"error at {request.fire_time}")
    world.start()
    world.down_until("22:59")
    world.advance_to("06:59")
    assert world.history("night") == ["23:00 failure", "03:00 failure"]
    assert titles(world) == []
    world.advance_to("07:00")
    assert titles(world) == ["❌ night failed"]


def test_a_receiver_that_fails_is_tried_again_and_changes_no_run(backup: World) -> None:
    """After a minute, doubling; `status` knows while it lasts; the run stays what it was."""
    moments: list[str] = []

    def refuse(parcel: Parcel) -> str:
        moments.append(backup.local(backup.clock.now()))
        return "connection refused"

    backup.mail = refuse
    run(backup, failed())
    backup.advance(8 * 60)
    assert moments == ["06:00", "06:01", "06:03", "06:07"]
    assert backup.history("backup") == ["06:00 failure"]
    assert ("problem", "notifier phone") in [(what, where) for what, where, _ in backup.told]
    backup.mail = lambda _: ""
    backup.advance(8 * 60)
    assert ("notifier phone", "", "it can be told again") in backup.told
    assert len(backup.parcels) == 5


def test_a_message_is_given_up_after_a_day_and_the_log_says_so(backup: World) -> None:
    """Nobody wants to hear of last week; that somebody was not told stands in the daily log."""
    backup.mail = lambda _: "connection refused"
    run(backup, failed())
    for _ in range(31):
        later(backup, HOUR)
    tried = len(backup.parcels)
    assert "phone: 1 × not told, and given up after a day: connection refused" in backup.log()
    later(backup, DAY)
    assert len(backup.parcels) == tried


def test_one_message_that_a_receiver_does_not_take_keeps_no_other_from_it(world: World) -> None:
    """The one that has been tried least goes first."""
    for name in ("bad", "good"):
        world.command(name, NEVER)
    world.start()
    world.mail = lambda parcel: "too long" if "bad" in parcel.title else ""
    run(world, failed(), "bad")
    run(world, failed(), "good")
    world.advance(90)
    assert titles(world)[:2] == ["❌ bad failed", "❌ good failed"]


def test_a_crash_loses_no_message_and_sends_none_more_than_twice(backup: World) -> None:
    """Killed while a message is on its way: the next daemon sends it once more. Killed before: it sends it."""
    backup.mail = lambda _: None
    run(backup, failed())
    assert len(backup.parcels) == 1
    backup.crash()
    backup.mail = lambda _: ""
    backup.start()
    backup.advance(300)
    assert titles(backup) == ["❌ backup failed", "❌ backup failed"]
    backup.restart()
    backup.advance(300)
    assert len(backup.parcels) == 2


def test_a_crash_before_the_decision_is_made_up_for(backup: World) -> None:
    """A run that ended, and of which nobody decided yet whether to tell, is decided on by the next daemon."""
    backup.script = lambda _: failed()
    backup.call(backup.store.add_request("run", "backup", {}, backup.clock.now()))
    backup.daemon.hint(["00_system/wake"])
    tick = backup.daemon.tick
    backup.daemon._only_requests = True  # the daemon ends before it comes to that
    for _ in range(5):
        backup.call(tick())
    assert backup.history("backup") == ["06:00 failure"]
    assert backup.parcels == []
    backup.crash()
    backup.start()
    backup.advance(1)
    assert titles(backup) == ["❌ backup failed"]


def test_a_fault_of_ours_in_one_message_keeps_no_other_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be put into words is in the daily log instead, and the next run is told."""
    for name in ("odd", "plain"):
        world.command(name, NEVER)
    world.start()

    def worded(run: Run, *arguments: object, **named: object) -> tuple[str, str]:
        if run.task == "odd":
            raise RuntimeError("no such case")
        return f"told of {run.task}", ""

    monkeypatch.setattr(notifier, "run_message", worded)
    run(world, failed(), "odd")
    run(world, failed(), "plain")
    assert titles(world) == ["told of plain"]
    assert "internal error in telling of r-2026" in world.log()


def test_a_notifier_that_was_removed_is_told_nothing_any_more(backup: World) -> None:
    """What waits for it is forgotten, and nobody complains."""
    backup.mail = lambda _: "connection refused"
    run(backup, failed())
    backup.stop()
    backup.notifiers = ("mail",)
    backup.start()
    backup.advance(300)
    assert [parcel.receiver for parcel in backup.parcels] == ["phone"]
    assert backup.call(backup.store.outbox()) == []


# pings


def pings(world: World) -> list[tuple[str, str]]:
    return [(parcel.url.partition("?")[0], parcel.body) for parcel in world.parcels]


def test_a_task_pings_its_check_at_start_and_end(world: World) -> None:
    """Start, success, failure with its reason: also on a machine without a notifier, and in quiet hours."""
    world.notifiers = ()
    world.write_settings(f"{SETTINGS}quiet_hours: 00:00-12:00\n", age_s=HOUR)
    world.command("backup", f"{NEVER}ping_url: https://hc.example.org/u-1")
    world.start()
    run(world)
    run(world, failed())
    assert pings(world) == [
        ("https://hc.example.org/u-1/start", ""),
        ("https://hc.example.org/u-1", ""),
        ("https://hc.example.org/u-1/start", ""),
        ("https://hc.example.org/u-1/fail", "exit 1: no such file"),
    ]
    ids = [parcel.url.partition("rid=")[2] for parcel in world.parcels]
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_a_check_that_cannot_be_reached_gets_the_newest_end_alone(world: World) -> None:
    """Starts that are late are dropped, and so are ends that a later one has overtaken."""
    world.command("backup", f"{NEVER}ping_url: https://hc.example.org/u-1")
    world.start()
    world.mail = lambda parcel: "no route" if parcel.url else ""
    run(world)
    run(world, failed())
    world.parcels.clear()
    world.mail = lambda _: ""
    world.advance(HOUR)
    assert [url for url, _ in pings(world)] == ["https://hc.example.org/u-1/fail"]


def test_what_nobody_approved_pings_nothing(world: World) -> None:
    """A restricted run that writes a ping_url into a note sends nothing anywhere with it."""
    world.command("backup", NEVER)
    world.write("writer", f"type: claude\n{NEVER}", body="Write.\n")
    world.start()

    def script(request: RunRequest) -> Result | None:
        return None if request.task == "writer" else failed()

    world.script = script
    world.request("run", "writer")
    world.edit("backup", "cron:", "ping_url: https://evil.example.org/x\ncron:")
    world.advance(30)
    assert world.stands("backup") == "held"
    assert world.engine.running
    world.engine.finish("writer")
    world.advance(90)
    assert [parcel.url for parcel in world.parcels if parcel.url] == []
    assert titles(world) == ["✋ backup waits for your approval"]


def test_the_daemon_pings_while_it_does_its_work(world: World) -> None:
    """Each pass that compared what was due with what started is worth a ping; one without the vault is not."""
    world.write_settings(f"{SETTINGS}daemon_ping_url: https://hc.example.org/d-1\n", age_s=HOUR)
    world.start()
    assert set(world.beats) == {"https://hc.example.org/d-1"}
    world.take_vault_away()
    world.advance(60)
    world.beats.clear()
    world.advance(120)
    assert world.beats == []
    world.bring_vault_back()
    world.advance(60)
    assert world.beats
