"""What the skill tells Claude is true: its notes are valid, its wrong lines refused for the reasons that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import vault_scheduler
from vault_scheduler.cli import COMMANDS
from vault_scheduler.commands.claude_kit import TRY_IT
from vault_scheduler.executors.python import callable_problem
from vault_scheduler.notes.note import Document
from vault_scheduler.notes.yaml_core import load
from vault_scheduler.parsing.keys import ALIASES, KEYS
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.task import Problem

SKILL = Path(vault_scheduler.__file__).parent / "skill"
PAGES = sorted(path for path in SKILL.rglob("*.md") if path.name != "keys.md")
BODY_CLAUDE = "Do something.\n"
TRIGGERS = ("cron", "schedule", "every", "interval", "at", "after", "on_change")


def notes() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, text in enumerate(re.findall(r"^````markdown\n(.*?)^````$", page.read_text(), re.M | re.S)):
            yield f"{page.stem}-{number}", text


def pairs() -> list[tuple[str, str, str]]:
    rows = re.findall(
        r"^\| `([^|]*)` \| ([^`|]+) \| (?:`([^|]*)`|the body of the note) \|$",
        (SKILL / "references/format.md").read_text(),
        re.M,
    )
    return [(wrong, said, right) for wrong, said, right in rows]


def problems(text: str) -> list[Problem]:
    context = ParseContext(default_timezone="Europe/Berlin", callable_check=_no_such_function)
    return list(parse_task(Document.parse(text.encode()), "00_system/tasks/note.md", context).problems)


def _no_such_function(call: str, args: Iterable[str] = ()) -> str | None:
    return callable_problem(call, Path("/nowhere"), args=args)


def note_with(line: str) -> str:
    when = [] if line.startswith(TRIGGERS) else ['cron: "0 7 * * *"']
    return "\n".join(["---", "type: claude", *when, line, "---", BODY_CLAUDE]) if line else ""


@pytest.mark.parametrize(("name", "text"), list(notes()))
def test_every_whole_note_of_the_skill_is_valid(name: str, text: str) -> None:
    """A Claude that copies a note of the skill gets a task without a problem or warning."""
    assert problems(text) == []


def test_there_are_enough_examples() -> None:
    """The skill shows a note at once, and recipes for what people ask for most."""
    names = [name for name, _ in notes()]
    assert "SKILL-0" in names
    assert len([name for name in names if name.startswith("recipes")]) >= 6
    assert len(pairs()) >= 25


@pytest.mark.parametrize(("wrong", "said", "right"), pairs())
def test_what_the_skill_calls_wrong_is_a_problem_and_what_it_calls_right_is_none(
    wrong: str, said: str, right: str
) -> None:
    """Each line of the table of right and wrong is judged as the table says, in the words that it quotes."""
    found = [str(problem) for problem in problems(note_with(wrong))]
    assert any(said in problem for problem in found), found
    assert problems(note_with(right)) == [] if right else True


def test_the_description_claims_what_people_say() -> None:
    """The words by which Claude Code offers the skill are those of people who want something scheduled."""
    front = (SKILL / "SKILL.md").read_text().split("---\n")[1]
    head = load(front)
    assert isinstance(head, dict)
    assert head["name"] == "vault-sched"
    assert len(head["description"]) <= 1024
    for words in ("every morning", "remind me", "schedule", "every Monday", "in the evening", "later", "CronCreate"):
        assert words in head["description"], words


def test_the_skill_names_only_keys_commands_and_pages_that_there_are() -> None:
    """Every key, command and page that the skill mentions exists in this version."""
    text = "".join(page.read_text() for page in PAGES)
    for page in re.findall(r"\]\((references/[a-z]+\.md)\)", text):
        assert (SKILL / page).is_file(), page
    for verb in re.findall(r"`vault-sched ([a-z]+)", text):
        assert verb in COMMANDS, verb
    named = re.findall(r"`([a-z]+_[a-z]+)`", re.findall(r"`python` for.*?`claude`", text, re.S)[0])
    assert [name for name in named if _no_such_function(name)] == []
    for note in (text for _, text in notes()):
        keys = re.findall(r"^([a-z_]+):", note.split("---\n")[1], re.M)
        assert all(key in KEYS and KEYS[key].supported for key in keys if key not in ALIASES), keys


def test_the_skill_is_short() -> None:
    """What Claude reads at every use of the skill costs little; the rest is in pages that it opens at need."""
    assert len((SKILL / "SKILL.md").read_text()) < 5000


@pytest.mark.parametrize("page", ["README.md", "docs/claude.md"])
def test_the_pages_and_init_name_the_same_things_to_say(page: str) -> None:
    """The three lines that one would say to Claude are those that `init` prints."""
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    said = [line.strip() for line in TRY_IT[1:]]
    assert len(said) == 3
    assert [line for line in said if f"> {line}\n" not in text] == []
