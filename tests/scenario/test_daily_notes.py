"""The user's own daily note: the log in it, and results below its headings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vault_scheduler.ledger.store import DAILY_LOG
from vault_scheduler.run import Outcome, Result
from vault_scheduler.testing import Lasting
from vault_scheduler.testing_world import SETTINGS, World

MakeWorld = Callable[..., World]
NOTE = "# Friday\n\nSlept well.\n\n## Scheduler\n\n## Evening\nRead **Dune**.  \n"


def config(world: World, name: str, content: object, folder: str = ".obsidian") -> None:
    """Obsidian saves its settings."""
    path = world.root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def note(world: World, rel: str, text: str = NOTE, age_s: float = 3600) -> Path:
    """A person's note, last changed so many seconds ago."""
    return world._put(world.root / rel, text.encode(), age_s)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A vault whose log goes into daily notes in `Journal`; a task runs at 10:10 and 10:40."""
    found = make_world(settings=SETTINGS + "daily_log_in: daily-note\n")
    config(found, "daily-notes.json", {"folder": "Journal", "format": "YYYY/YYYY-MM-DD"})
    found.command("a", 'cron: "10,40 10 * * *"')
    return found


def test_lines_go_below_the_heading_of_the_days_note(world: World) -> None:
    """In order, and every other byte of the note stays; there is no log of our own."""
    path = note(world, "Journal/2026/2026-11-20.md")
    world.start()
    world.advance_to("10:45")
    before, heading, after = NOTE.partition("## Scheduler\n\n")
    lines = path.read_text().removeprefix(before + heading).removesuffix("\n" + after).split("\n")
    assert [line.split(" · ")[0] for line in lines[:2]] == [
        "- 10:10 ✅ [[00_system/tasks/a|a]]",
        "- 10:40 ✅ [[00_system/tasks/a|a]]",
    ]
    assert lines[2:] == [""]
    assert world.log() == ""


def test_lines_wait_for_the_note_and_no_note_is_made(world: World) -> None:
    """A daily note that we made early would keep Obsidian from making the person's."""
    world.start()
    world.advance_to("10:30")
    assert not (world.root / "Journal").exists()
    path = note(world, "Journal/2026/2026-11-20.md", "Morning", age_s=0)
    world.advance_to("10:32")
    assert path.read_text().startswith("Morning\n\n## Scheduler\n\n- 10:10 ✅ [[00_system/tasks/a|a]]")
    world.restart()
    world.advance_to("10:50")
    assert path.read_text().count("|a]]") == 2
    assert world.log() == ""


def test_a_day_without_a_note_is_told_in_a_log_of_our_own(world: World) -> None:
    """When it is over; what comes then belongs to the next day."""
    world.clock.advance(13.8 * 3600)  # 23:48
    world.command("a", 'cron: "50 23 * * *"')
    world.start()
    world.advance_to("23:59")
    assert world.log() == ""
    world.advance_to("00:01")
    assert world.log().count("|a]]") == 1
    assert (world.root / "00_system/logs/2026-11-20.md").exists()
    assert not (world.root / "Journal").exists()


def test_a_note_that_is_edited_is_left_alone(world: World) -> None:
    """It is a person's note: nothing within `note_quiet` of a change, and one write in `note_interval`."""
    world.command("b", 'every: 5s\nuntil: "2026-11-20 10:01"')
    path = note(world, "Journal/2026/2026-11-20.md")
    world.start()
    texts = set()
    for _ in range(12):
        world.advance(5)
        texts.add(path.read_text())
    assert len(texts) <= 4  # as it was, and one write in 30 s
    world.advance_to("10:09:30")
    for second in range(31, 60, 4):
        world.advance_to(f"10:09:{second}")
        note(world, "Journal/2026/2026-11-20.md", f"{NOTE}{second}", age_s=0)
    world.advance_to("10:10:05")
    assert path.read_text() == f"{NOTE}59"
    world.advance_to("10:10:20")
    assert "- 10:10 ✅ [[00_system/tasks/a|a]]" in path.read_text()


def test_a_problem_is_told_in_the_note_too(world: World) -> None:
    """And when the daemon ends before there is one, in our own log: lines that are no run's are in no ledger."""
    world.command("b", "cron: nonsense")
    world.start()
    world.advance(60)
    assert world.log() == ""
    world.stop()
    assert "[[b]]" in world.log() or "tasks/b" in world.log()


def test_where_nobody_can_tell_the_note_the_log_is_our_own(make_world: MakeWorld) -> None:
    """Nothing waits for a note that can never be found, and the reason is told once."""
    world = make_world(settings=SETTINGS + "daily_log_in: daily-note\n")
    config(world, "daily-notes.json", {"format": "gggg-[W]ww"})
    world.command("a", 'cron: "10,40 10 * * *"')
    world.start()
    world.advance_to("10:45")
    assert world.log().count("|a]]") == 2
    assert world.log().count("differs between the languages of Obsidian") == 1


def test_line_that_an_old_copy_overwrites_is_put_back(world: World) -> None:
    """As in every note that we write."""
    path = note(world, "Journal/2026/2026-11-20.md")
    world.start()
    world.advance_to("10:11")
    assert "|a]]" in path.read_text()
    note(world, "Journal/2026/2026-11-20.md", NOTE, age_s=0)
    world.advance_to("10:14")
    assert path.read_text().count("|a]]") == 1


# output


def says(text: str) -> Callable[[object], Result]:
    return lambda _: Result(outcome=Outcome.SUCCESS, text=text, markdown=True)


@pytest.fixture
def briefing(make_world: MakeWorld) -> World:
    """A vault with a core daily note; a task puts its result below `Briefing` in it at 10:10."""
    found = make_world()
    found.script = says("Three things today.")
    config(found, "app.json", {})
    found.command("a", 'cron: "10 10 * * *"\noutput: "daily-note#Briefing"')
    return found


def test_output_goes_below_the_heading_of_the_days_note(briefing: World) -> None:
    """Once, and the text around it stays."""
    path = note(briefing, "2026-11-20.md", "# Friday\n## Briefing\n## Evening\nRead.")
    briefing.start()
    briefing.advance_to("10:12")
    briefing.restart()
    briefing.advance_to("10:20")
    before, after = "# Friday\n## Briefing\n\n", "## Evening\nRead."
    text = path.read_text()
    assert text.startswith(before)
    assert text.endswith(after)
    assert text.count("Three things today.") == 1


def test_log_and_output_of_a_run_stand_in_one_note(make_world: MakeWorld) -> None:
    """Neither is taken for the other, whichever comes first, and each has a block id of its own."""
    world = make_world(settings=SETTINGS + "daily_log_in: daily-note\n")
    world.script = says("Three things today.")
    config(world, "app.json", {})
    world.command("a", 'cron: "10 10 * * *"\noutput: "daily-note#Briefing"')
    world.command("b", 'cron: "11 10 * * *"\noutput: "{{date}}.md#Briefing"')
    path = note(world, "2026-11-20.md", "# Friday\n")
    world.start()
    world.advance_to("10:14")
    world.restart()
    world.advance_to("10:20")
    text = path.read_text()
    assert text.count("Three things today.") == 4  # two lines of the log, two results
    for task in ("a", "b"):
        assert text.count(f"|{task}]]") == 1
    [run] = world.runs("a")
    assert text.count(f"^{run.id}\n") == 1
    assert text.count(f"\n^o{run.id[1:]}\n") == 1


def test_output_that_an_old_copy_overwrites_is_put_back(briefing: World) -> None:
    """Below a heading as everywhere."""
    path = note(briefing, "2026-11-20.md", "# Friday\n")
    briefing.start()
    briefing.advance_to("10:11")
    assert "Three things today." in path.read_text()
    note(briefing, "2026-11-20.md", "# Friday\nand more\n", age_s=0)
    briefing.advance_to("10:14")
    assert path.read_text().count("Three things today.") == 1
    briefing.stop()
    note(briefing, "2026-11-20.md", "# Friday\nand less\n", age_s=0)
    briefing.start()
    briefing.advance_to("10:16")
    assert "Three things today." not in path.read_text()  # once


def test_output_makes_the_note_from_a_plain_template(briefing: World) -> None:
    """As Obsidian would: date, time and title filled in."""
    config(briefing, "daily-notes.json", {"folder": "/Journal/", "template": "Templates/Day"})
    note(
        briefing, "Templates/Day.md", "---\nday: {{date}}\n---\n# {{title}} {{date:dddd}}\n\n## Briefing\n\n## Notes\n"
    )
    briefing.start()
    briefing.advance_to("10:12")
    text = (briefing.root / "Journal/2026-11-20.md").read_text()
    assert text.startswith("---\nday: 2026-11-20\n---\n# 2026-11-20 Friday\n\n## Briefing\n")
    assert text.endswith("\n## Notes\n")
    assert "Three things today." in text.partition("## Notes")[0]


def test_output_waits_for_a_note_that_only_obsidian_can_make(briefing: World) -> None:
    """A template of another plugin's is a program; the result goes in when the note is there."""
    config(briefing, "daily-notes.json", {"template": "Day"})
    note(briefing, "Day.md", "<% tp.date.now() %>\n")
    briefing.start()
    briefing.advance_to("10:20")
    assert not (briefing.root / "2026-11-20.md").exists()
    note(briefing, "2026-11-20.md", "Made by a person.\n", age_s=0)
    briefing.advance_to("10:22")
    text = (briefing.root / "2026-11-20.md").read_text()
    assert text.startswith("Made by a person.\n\n## Briefing\n")
    assert "Three things today." in text


def test_output_of_a_day_without_a_note_stands_beside_its_place(briefing: World) -> None:
    """When the day is over, and it is told."""
    config(briefing, "daily-notes.json", {"folder": "Journal", "template": "Gone"})
    briefing.command("a", 'cron: "50 23 * * *"\noutput: "daily-note#Briefing"')
    briefing.clock.advance(13.8 * 3600)  # 23:48
    briefing.start()
    briefing.advance_to("23:59")
    assert not (briefing.root / "Journal").exists()
    briefing.advance_to("00:01")
    [path] = (briefing.root / "Journal").iterdir()
    assert path.name.startswith("2026-11-20 2026-11-20 ")
    assert "Three things today." in path.read_text()
    assert "no daily note Journal/2026-11-20.md" in briefing.log()


def test_the_day_is_that_of_the_fire_time_in_the_vaults_zone(make_world: MakeWorld) -> None:
    """A run that was due before midnight and ended after it belongs to the day on which it was due."""
    world = make_world()
    world.script = says("Late.")
    config(world, "app.json", {})
    world.command("a", 'cron: "30 23 * * *"\ntimezone: Asia/Tokyo\noutput: "daily-note#Log"')
    world.clock.advance(5.4 * 3600)  # 15:24
    world.start()
    world.advance_to("15:31")
    assert "Late." in (world.root / "2026-11-20.md").read_text()


def test_lines_that_are_gathered_are_written_when_the_daemon_stops(make_world: MakeWorld) -> None:
    """Those of runs would wait in the ledger; a line about a problem is told nowhere else."""
    world = make_world(settings=SETTINGS)
    log = world.root / "00_system" / "logs" / "2026-11-20.md"
    log.parent.mkdir()
    log.write_text("# Friday\n\n" + "- 09:00 Something that happened in the morning.\n" * 10_000)
    world.command("a", "every: 1h")
    world.start()
    world.advance(60)
    world.request("run", "a")
    world.daemon.scribe.log("p-1", "something is wrong", "10:01")
    world.call(world.daemon.end())
    assert world.log().count(" ✅ ") == 1
    assert "something is wrong ^p-1" in world.log()


def test_a_large_log_gathers_the_lines_of_a_moment(make_world: MakeWorld) -> None:
    """A log of half a megabyte is written anew about twice a second at most, however many runs end; no line is lost."""
    world = make_world(settings=SETTINGS + "max_parallel: 30\n")
    log = world.root / "00_system" / "logs" / "2026-11-20.md"
    log.parent.mkdir()
    log.write_text("# Friday\n\n" + "- 09:00 Something that happened in the morning.\n" * 10_000)
    for number in range(30):
        world.command(f"t{number}", "cron: 5 10 * * *")
    world.script = lambda _: Lasting(0.1 * len(world.engine.submitted))
    world.start()
    world.advance_to("10:06")
    assert world.log().count(" ✅ ") == 30
    done = world.call(world.store.delivered_since(world.moment("2026-11-20 10:05")))
    moments = {delivery.done_at for delivery in done if delivery.target == DAILY_LOG}
    assert 3 <= len(moments) <= 8
