"""What the built-in tasks share: links, open tasks, owned blocks, arguments, words."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from vault_scheduler.builtin.parts.arguments import chosen, folders, places, words
from vault_scheduler.builtin.parts.links import LinkIndex, is_day, targets
from vault_scheduler.builtin.parts.memory import Memory
from vault_scheduler.builtin.parts.outputs import Outputs
from vault_scheduler.builtin.parts.owned_block import begin_line, end_line, put_block, without_blocks
from vault_scheduler.builtin.parts.pages import Page
from vault_scheduler.builtin.parts.prose import day_in_name, open_tasks, prose
from vault_scheduler.builtin.parts.words import ago, ahead, bullets, count, day_or_none, link, said
from vault_scheduler.errors import BadValue, NoteRefused
from vault_scheduler.text.harmless import harmless_markdown

TODAY = date(2026, 11, 22)
FILES = [
    "Home.md",
    "Projects/Shed.md",
    "Projects/Old/Shed.md",
    "People/Zoë.md",
    "img/plan.png",
    "A.b.md",
    "Docs/Über uns.md",
]


@pytest.mark.parametrize(
    ("target", "source", "found"),
    [
        ("Home", "Projects/Shed.md", "Home.md"),
        ("home", "Projects/Shed.md", "Home.md"),  # case does not count
        ("Home.md", "Projects/Shed.md", "Home.md"),
        ("Shed", "Home.md", "Projects/Shed.md"),  # the one that is less deep
        ("Shed", "Projects/Old/x.md", "Projects/Old/Shed.md"),  # the one beside it
        ("Old/Shed", "Home.md", "Projects/Old/Shed.md"),  # by the end of its path
        ("ld/Shed", "Home.md", None),  # whole names only
        ("plan.png", "Home.md", "img/plan.png"),
        ("plan", "Home.md", None),  # a file that is no note wants its ending
        ("A.b", "Home.md", "A.b.md"),
        ("Zoe\N{COMBINING DIAERESIS}", "Home.md", "People/Zoë.md"),  # as macOS spells it
        ("über\N{NO-BREAK SPACE}uns", "Home.md", "Docs/Über uns.md"),
        ("../Home", "Projects/Shed.md", "Home.md"),
        ("./Shed", "Projects/Old/x.md", "Projects/Old/Shed.md"),
        ("/Projects/Shed", "Home.md", "Projects/Shed.md"),
        ("../../../etc/passwd", "Home.md", None),
        ("Nowhere", "Home.md", None),
    ],
)
def test_a_link_leads_to_the_file_that_obsidian_opens(target: str, source: str, found: str | None) -> None:
    """Links are found by the whole path, beside the note, or by the end of the path, in any case and spelling."""
    assert LinkIndex(FILES).find(target, source) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[[A]] and ![[B.png]]", ["A", "B.png"]),
        ("[[A#Heading|shown]] [[B^block]]", ["A", "B^block"]),
        ("| [[A\\|shown]] |", ["A"]),
        ("[[#Heading here]]", []),
        ("[x](Some%20note.md) [y](<Other note.md>)", ["Some note.md", "Other note.md"]),
        ("[x](https://example.org/a.md) [m](mailto:a@b) [o](obsidian://open) [p](//host/x)", []),
        ("[x](A.md#part) [y](#part)", ["A.md"]),
        ("[x](a(1).md)", ["a(1).md"]),
        ("[[{{date}}]] [[<% tp.file.title %>]]", []),  # of a template
        ('people: ["[[Ana]]"]', ["Ana"]),
    ],
)
def test_links_are_found_as_they_are_written(text: str, found: list[str]) -> None:
    """Wikilinks, embeds and markdown links to files; not addresses, headings of the same note, templates."""
    assert [name for name, _ in targets(text)] == found


def test_links_to_days_are_no_dead_links() -> None:
    """A daily note is linked to before it is made."""
    assert is_day("2026-12-01")
    assert is_day("Journal/2026-12-01")
    assert not is_day("2026-13-01")


@pytest.mark.parametrize(
    "hidden",
    [
        "```\n{}\n```",
        "~~~md\n{}\n~~~",
        "> ```\n> {}\n> ```",
        "````\n```\n{}\n```\n````",
        "```\n{} in a block that is never closed",
        "text `{}` text",
        "``{}``",
        "%% {} %%",
        "%%\n{}\n%%",
        "<!-- {} -->",
    ],
)
def test_code_and_comments_are_not_prose(hidden: str) -> None:
    """What stands in code or a comment is no link and no task; what follows it is."""
    text = prose(f"before\n\n{hidden.format('[[X]]')}\n".encode())
    assert "[[X]]" not in text
    assert "before" in text


def test_a_note_of_backticks_is_read_in_a_moment() -> None:
    """The search for code, comments, links and blocks looks at each character a few times, whatever is never closed."""
    text = "\n".join("`" * (n % 7) + " x " + "~" * (n % 5) for n in range(20_000))
    assert prose(text.encode()) is not None
    assert len(prose(b"<!-- %% [[x]](" * 200_000)) > 0
    assert len(list(targets("[[x](" * 200_000 + "[" * 200_000))) > 0
    assert len(without_blocks(f"{begin_line('a')}\n".encode() * 20_000 + end_line("b").encode())) > 0


@pytest.mark.parametrize(
    ("line", "text", "due"),
    [
        ("- [ ] Call the bank", "Call the bank", None),
        ("\t* [ ] Call", "Call", None),
        ("1. [ ] Call", "Call", None),
        ("> - [ ] Call", "Call", None),
        ("- [ ] Pay, due 2026-12-01", "Pay", date(2026, 12, 1)),
        ("- [ ] Pay due: 2026-12-01", "Pay", date(2026, 12, 1)),
        ("- [ ] Pay 📅 2026-12-01 #home", "Pay #home", date(2026, 12, 1)),
        ("- [ ] Pay [due:: 2026-12-01]", "Pay", date(2026, 12, 1)),
        ("- [ ] Pay (due:: 2026-12-01)", "Pay", date(2026, 12, 1)),
        ("- [ ] Pay, due 2026-13-01", "Pay, due 2026-13-01", None),  # no such day: told as written
        ("- [ ] due 2026-12-01", "due 2026-12-01", date(2026, 12, 1)),
    ],
)
def test_an_open_task_is_found_with_its_day(line: str, text: str, due: date | None) -> None:
    """`- [ ]` lines at any depth; the day in the three ways in which people write it."""
    (task,) = open_tasks(f"# Title\n\n{line}\n".encode())
    assert (task.text, task.due) == (text, due)


@pytest.mark.parametrize(
    "line", ["- [x] done", "- [-] dropped", "- [ ]", "- [ ]text", "[ ] text", "`- [ ] code`", "    "]
)
def test_other_lines_are_no_open_tasks(line: str) -> None:
    """Ticked, dropped and empty boxes do not count, nor code."""
    assert list(open_tasks(f"{line}\n".encode())) == []


def test_the_day_in_a_name() -> None:
    """Daily and meeting notes carry their day; a number that only looks like one is none."""
    assert day_in_name("2026-11-18 Kick-off") == date(2026, 11, 18)
    assert day_in_name("Kick-off 2026-11-18") == date(2026, 11, 18)
    assert day_in_name("2026-11-181") is None
    assert day_in_name("2026-02-30") is None


BLOCK = f"{begin_line('dashboard')}\n\nnew\n\n{end_line('dashboard')}\n".encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", BLOCK),
        (b"# Mine\n", b"# Mine\n\n" + BLOCK),
        (b"# Mine", b"# Mine\n\n" + BLOCK),
        (b"# Mine\r\n", b"# Mine\r\n\r\n" + BLOCK.replace(b"\n", b"\r\n")),
        (
            b"\xef\xbb\xbfMine \xff\n\n" + BLOCK.replace(b"new", b"old") + b"below",
            b"\xef\xbb\xbfMine \xff\n\n" + BLOCK + b"below",
        ),
        (BLOCK, BLOCK),
    ],
)
def test_only_the_block_is_replaced(before: bytes, after: bytes) -> None:
    """Every byte outside of the block stays: BOM, line ends, invalid UTF-8, what stands below."""
    assert put_block(before, "dashboard", "new") == after
    assert put_block(after, "dashboard", "new") == after


@pytest.mark.parametrize("damage", ["begin", "end", "begin end end", "end begin", "begin end begin end"])
def test_a_block_whose_ends_are_unclear_is_refused(damage: str) -> None:
    """Where a marker is missing, doubled or out of order nothing is guessed, for people's text may be in between."""
    lines = {"begin": begin_line("dashboard"), "end": end_line("dashboard")}
    text = "\nmine\n".join(lines[name] for name in damage.split())
    with pytest.raises(NoteRefused, match="once each"):
        put_block(text.encode(), "dashboard", "new")


def test_the_block_is_left_out_of_what_people_wrote() -> None:
    """Links in a generated block are not the person's."""
    assert without_blocks(b"mine\n" + BLOCK + b"mine too\n") == b"mine\n\nmine too\n"


def test_words_say_when_and_how_many() -> None:
    """Days and numbers as a person says them."""
    assert [ago(date(2026, 11, day), TODAY) for day in (22, 21, 20)] == ["today", "yesterday", "2 days ago"]
    assert ago(date(2026, 8, 1), TODAY) == "16 weeks ago"
    assert [ahead(date(2026, 11, day), TODAY) for day in (22, 23, 30)] == ["today", "tomorrow", "Mon 30 Nov"]
    assert ahead(date(2028, 2, 29), TODAY) == "Tue 29 Feb 2028"
    assert [count(1, "note"), count(1200, "note"), count(2, "copy", "copies")] == ["1 note", "1,200 notes", "2 copies"]
    assert bullets(["a", "b", "c"], 2) == ["- a", "- b", "- … and 1 more"]


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("1946-12-01", date(1946, 12, 1)),  # a birthday
        ("[[2026-12-01]]", date(2026, 12, 1)),
        ("2026-12-01T10:00", date(2026, 12, 1)),
        ("1946-13-01", None),
        ("soon", None),
        (None, None),
        (["a", "b"], None),
    ],
)
def test_a_day_is_read_from_a_property(value: object, day: date | None) -> None:
    """Dates, date-times, links to daily notes, birthdays of long ago; anything else is no day."""
    assert day_or_none(value) == day


@pytest.mark.parametrize(
    "text", ["![[x]] <img src=x>", "`= this.file`", "%% hidden %%", "<% tp %>", "[[Link]] **b**", "^id", "x" * 500]
)
def test_what_somebody_wrote_is_harmless_and_stays_so(text: str) -> None:
    """Text of the vault that is shown again can do nothing, and passes the cleaning of output unchanged."""
    shown = said(text)
    assert harmless_markdown(f"- {shown}") == f"- {shown}"
    assert not any(acts in shown for acts in ("![[", " <img", "%%", "<% "))
    assert "\n" not in shown


@pytest.mark.parametrize("path", ["a#b.md", "a|b.md", "[x].md", "a^b.md", "<b>.md", "a%%b.md", "`= 1`.md"])
def test_a_name_that_acts_is_never_a_link(path: str) -> None:
    """File names are other people's text too."""
    assert "[[" not in link(path)
    assert harmless_markdown(link(path)) == link(path)


def test_lists_of_words_folders_and_notes(tmp_path: Path) -> None:
    """In one text words are separated by spaces or commas; what is not there or not possible is refused."""
    (tmp_path / "Docs").mkdir()
    assert words("a, b  a", "x") == ("a", "b")
    assert words(["a b", "c"], "x") == ("a", "b", "c")
    assert words(None, "x") == ()
    assert chosen("due,tasks", "sections", ["tasks", "due"]) == ("due", "tasks")
    assert places(tmp_path, ["Docs/", "To come.md"], "exclude") == ("To come.md", "Docs")
    for wrong in ("dou", ""):
        with pytest.raises(BadValue):
            chosen(wrong, "sections", ["due"])
    with pytest.raises(BadValue, match="no folder"):
        folders(tmp_path, "Dcos", "folder")


@pytest.mark.parametrize(
    ("output", "path", "is_it"),
    [
        ("Report.md", "Report.md", True),
        ("Report.md", "Reports.md", False),
        ("Report.md#Heading", "Report.md", False),  # the person's note, with a part for the task
        ('"B/{{date}}.md"', "B/2026-11-22.md", True),
        ('"B/{{date}}.md"', "B/Plan.md", False),
        ('"J/{{date:GGGG-[W]WW}}.md"', "J/2026-W47.md", True),
        ('"J/{{date:GGGG-[W]WW}}.md"', "J/2026-11-22.md", False),
        ('"J/{{date:dddd D}} {{time}} {{title}}.md"', "J/Sunday 2 08-30 a+b.md", True),
        ('"{{title}}.md"', "a/b.md", False),
    ],
)
def test_the_notes_that_tasks_write_are_known(output: str, path: str, is_it: bool) -> None:
    """A whole note that is a task's `output`, with the day or the title in its name."""
    task = Page(path="t.md", data=f"---\noutput: {output}\n---\n".encode(), modified=0.0)
    assert Outputs([task]).are(path) is is_it


def test_notes_that_a_task_will_make_are_known() -> None:
    """Outputs with a fixed name, and dashboards."""
    texts = ("output: Report.md", "call: dashboard\nargs: [note=Board.md]", "call: dashboard", "output: x.md#y")
    tasks = [Page(path="t.md", data=f"---\n{text}\n---\n".encode(), modified=0.0) for text in texts]
    assert Outputs(tasks).to_come == {"Report.md", "Board.md", "Dashboard.md"}


def test_a_memory_is_kept_and_survives_damage(tmp_path: Path) -> None:
    """The next run knows what was kept; a lost or damaged file is an empty memory; nobody else may read it."""
    path = tmp_path / "builtin/x.json"
    Memory(path, "r-1").keep({"a": 1})
    assert Memory(path, "r-2").known == {"a": 1}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for damage in ("", "[", "[1]", '{"now": 3}'):
        path.write_text(damage)
        assert Memory(path, "r-2").known == {}
    assert Memory(None, "").known == {}
    Memory(None, "").keep({"a": 1})


def test_a_run_that_is_tried_again_starts_from_what_was_known_before_it(tmp_path: Path) -> None:
    """What a failed attempt told, nobody may have read: the next attempt of the run tells it again."""
    path = tmp_path / "x.json"
    Memory(path, "r-1").keep({"a": 1})
    Memory(path, "r-2").keep({"a": 2})
    assert Memory(path, "r-2").known == {"a": 1}
    assert Memory(path, "r-3").known == {"a": 2}
