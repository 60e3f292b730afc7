"""The notes that Claude runs leave behind, one for each way to end: the real daemon and the real CLI, word for word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.process import loopback_api as api

if TYPE_CHECKING:
    from tests.process.conftest import World


pytestmark = pytest.mark.timeout(180)  # nine sessions, and nobody knows what else the machine does

text, use = api.text, api.use
SETTINGS = "---\nstatus: active\ntimezone: UTC\nnote_quiet: 1s\nnote_interval: 1s\nmax_claude: 3\n---\n"
CLAUDE = "type: claude\ncron: 0 0 29 2 *\nrun_now: true"
HOSTILE = (
    "# Report\n![x](http://evil/x.png) <script>alert(1)</script> `= dv.current()`\n%% hidden\n\n"
    "```dataviewjs\nalert(1)\n```\n\n![[Secret]] <% tp.x %> ^r-20261120T060000Z-3f9a1c\n\n---\n\n## Runs\n\n"
)

TASKS: dict[str, tuple[str, str, list[Any]]] = {  # name: (keys, prompt, replies)
    # Begun first, by its name, and long enough for a loaded machine: the others go on meanwhile.
    "absent": ("timeout: 25s", "Ask the absent one.", [api.Silence()]),
    "briefing": (
        'allowed_tools: "Bash(ls:*)"\nexpect_file: Briefings/Today.md',
        "Write the briefing.",
        [
            [
                use("Write", file_path="VAULT/Briefings/Today.md", content="# Today\n"),
                use("Bash", command="mkdir made"),
            ],
            [text("All **quiet** today. See [[Today]].")],
        ],
    ),
    "lazy": ("expect_file: Reports/Week.md", "Write the report.", [[text("I have written the report.")]]),
    "dear": (
        "max_usd: 0.25",
        "Think long.",
        [api.Costly(use("Read", file_path="VAULT/Inbox.md"), output_tokens=20_000)],
    ),
    "endless": ("max_turns: 2", "Look around.", [[use("Read", file_path="VAULT/Inbox.md")]]),
    "honest": (
        "",
        "Fetch the feed.",
        [[use("mcp__vault-sched__report_failure", reason="The feed is gone.")], [text("Sorry.")]],
    ),
    "quiet": ("", "Anything new?", [[use("mcp__vault-sched__nothing_new")], [text("No.")]]),
    "busy": ("", "Ask the busy one.", [api.Refusal(529, "overloaded_error", "Overloaded"), [text("At last.")]]),
    "hostile": ("", "Ask the hostile one.", [[text(HOSTILE * 700 + "The end.")]]),
}
NOTES = {
    "briefing": """\
> [!success]- WHEN · TIME · COST · 3 turns
> All **quiet** today. See [[Today]].
>
> Changed: [[Briefings/Today]]
>
> Denied: Bash: mkdir made (not allowed; allowed\\_tools: Bash(mkdir:\\*))
>
> REOPEN
>
> ^RUN
""",
    "lazy": """\
> [!failure]- WHEN · TIME · COST · expected Reports/Week.md to have changed, and it does not exist
> I have written the report.
>
> REOPEN
>
> ^RUN
""",
    "dear": """\
> [!failure]- WHEN · TIME · COST · reached max\\_usd (COST)
> REOPEN
>
> ^RUN
""",
    "endless": """\
> [!failure]- WHEN · TIME · COST · 2 turns · reached max\\_turns (2)
> REOPEN
>
> ^RUN
""",
    "honest": """\
> [!failure]- WHEN · TIME · COST · 2 turns · The feed is gone.
> Sorry.
>
> REOPEN
>
> ^RUN
""",
    "quiet": """\
> [!success]- WHEN · TIME · COST · 2 turns
> REOPEN
>
> ^RUN
""",
    "busy": """\
> [!success]- WHEN · TIME · COST
> At last.
>
> REOPEN
>
> ^RUN
""",
    "absent": """\
> [!fail]- WHEN · TIME · COST · timeout: no end after 25s
> REOPEN
>
> ^RUN
""",
}


@dataclass
class Played:
    """What the runs left: the vault, and below `## Runs` of each note the entry, with what varies by its name."""

    world: World
    entries: dict[str, str]


@pytest.fixture(scope="module")
def played(make_world: Callable[..., World]) -> Played:
    """All tasks run once in one vault."""
    world = make_world(settings=SETTINGS)
    world.vault.joinpath("Inbox.md").write_text("An idea.\n")
    replies = {prompt: [_in(world, reply) for reply in script] for _, prompt, script in TASKS.values()}
    with api.LoopbackApi(by_words=replies) as server:
        login = f"ANTHROPIC_API_KEY=a-key-of-the-tests\nANTHROPIC_BASE_URL={server.url}\n"
        world.config.joinpath("env").write_text(login)
        made = {name: world.note(name, f"{CLAUDE}\n{keys}", f"{prompt}\n") for name, (keys, prompt, _) in TASKS.items()}
        world.start()
        ended = "SELECT count(*) AS n FROM runs WHERE state = 'ended'"
        world.until(lambda: [row for row in world.rows(ended) if row["n"] == len(made)], "all have ended", 150)
        world.delivered()
    sections = {name: path.read_text().partition("## Runs\n")[2].strip("\n") + "\n" for name, path in made.items()}
    return Played(world, {name: _plain(section) for name, section in sections.items()})


def _in(world: World, reply: Any) -> Any:
    """The reply with the vault's path in it."""
    if isinstance(reply, list):
        return json.loads(json.dumps(reply).replace("VAULT", str(world.vault)))
    if isinstance(reply, api.Answer):
        reply.blocks = _in(world, list(reply.blocks))
    return reply


def _plain(section: str) -> str:
    section = re.sub(r"\^r-\d{8}T\d{6}Z-[0-9a-f]{6}", "^RUN", section)
    section = re.sub(r"Reopen: `claude --resume [0-9a-f-]{36}` in the vault", "REOPEN", section)
    section = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "WHEN", section)
    section = re.sub(r"\\?\$\d+\.\d\d", "COST", section)
    return re.sub(r"· [\d.]+ (ms|s)\b", "· TIME", section)


@pytest.mark.parametrize("name", NOTES)
def test_the_note_says_how_it_ended(played: Played, name: str) -> None:
    """Short, with what one wants to know next."""
    assert played.entries[name] == NOTES[name]


def test_a_long_and_hostile_answer_does_nothing_in_the_note(played: Played) -> None:
    """200 KB that want to act: the entry is bounded, whole, and the only one of its kind."""
    entry = played.entries["hostile"]
    assert len(entry.encode()) < 10 * 1024
    assert entry.startswith("> [!success]- WHEN")
    assert entry.endswith("> The end.\n>\n> REOPEN\n>\n> ^RUN\n")
    assert all(line.startswith(">") for line in entry.splitlines())
    whole = (played.world.tasks / "hostile.md").read_text()
    assert len(re.findall(r"^(> )?## Runs", whole, re.M)) - whole.count("> ## Runs") == 1
    outside_of_fences = re.sub(r"^> (`{3,})text\n.*?^> \1$", "", entry, flags=re.M | re.S)
    for act in ("![[", "![x]", "\n> # ", "\n> ## ", "```dataviewjs", " <script>", "<%", " `= ", "%% "):
        assert act not in outside_of_fences, act


def test_an_overload_that_passes_is_told_in_the_output_alone(played: Played) -> None:
    """The CLI tries again by itself: the run's answer is its result."""
    assert "the API answered 529: " in played.world.sched("logs", "busy").stdout


def test_logs_show_all_of_it_and_where_the_transcript_is(played: Played) -> None:
    """The output as it came, and beside it the transcript, in which no secret stands."""
    told = played.world.sched("logs", "briefing")
    assert "→ Write" in told.stdout
    assert "All **quiet** today." in told.stdout
    (path,) = re.findall(r"^transcript: (\S+)$", told.stderr, re.M)
    transcript = Path(path).read_text()
    assert "Write the briefing." in transcript
    assert "a-key-of-the-tests" not in transcript
    assert Path(path).stat().st_mode & 0o077 == 0
