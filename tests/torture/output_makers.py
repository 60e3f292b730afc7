"""Output that wants to be more than text, and what is wrong with the notes that it has come into."""

# ruff: noqa: E501  tables of odd texts

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus
from zoneinfo import ZoneInfo

import frontmatter
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from vault_scheduler.notes.note import Document
from vault_scheduler.notes.runs_section import insert_runs, run_ids
from vault_scheduler.run import Outcome, Result, Run, RunState, TriggerKind
from vault_scheduler.telling.daily_log import block_ids, new_file, put_lines
from vault_scheduler.telling.output_note import append_below
from vault_scheduler.telling.summary import entry_of, log_line, output_text

PIECES = (
    "```", "````", "~~~", "```dataviewjs\napp.vault.delete()\n```", "```dataview\nlist\n```", "```js-engine\n1\n```", "`= 1`", "`$= dv.x`",
    "`=this`", "---", "---\nstatus: stopped\n---", "***", "===", "# H", "## Runs", "## Runs ##", "Runs\n----", "<!--", "-->", "%%", "%", "<%",
    "<% tp.file.delete() %>", "<%*", "<script>x</script>", "<img src=http://x/y.png onerror=x>", "<iframe", "</div>", "<svg/onload=x>",
    "![x](http://x/y.png)", "![[secret]]", "!", "[[Note]]", "[[", "]]", "[x](javascript:x)", "[x](obsidian://x)", "[x](file:///etc/passwd)",
    "[x]: http://x", "[^1]: x", "[^1]", "^block", "^r-20260101T000000Z-abcdef", "- 2026-01-01 00:00 ✅ 1 s ^r-20260101T000000Z-abcdef",
    "> [!success]- 2026-01-01 00:00 · 1 s\n> x\n>\n> ^r-20260101T000000Z-abcdef", "> [!failure]-", "> ", ">", "- ", "- [ ] task 📅 2026-01-01",
    "1. ", "|a|b|\n|-|-|\n|`|%%|", "$$", "$x$", "\\", "\\\\", "\x1b[31m", "\x1b]8;;http://x\x07", "\x1bP", "\x9b", "\0", "\x08", "\r", "\r\n", "\n",
    "\n\n", "\t", "    ", " ", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\ufeff", "\u202e", "\u2066", "\udcff", "\ud800", "<<<<<<< HEAD", "=======",
    ">>>>>>> x", "||||||| x", "key:: value", "(key:: v)", "#tag", "{{date}}", "INPUT[text:x]", "`INPUT[text:x]`", "`BUTTON[x]`", "`button-x`",
    "a", "word", "*", "_", "~", "é", "𝕏", "👩‍👩‍👧", "x" * 300,
)  # fmt: skip

texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=14).map("".join)

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
ID = "r-20261120T060000Z-3f9a1c"
ZONE = ZoneInfo("UTC")
NOTE = '---\ntype: command # mine\ncron: "0 7 * * *"\nstatus: active\n---\nMine.\n\n## Runs\nMy remark.\n\n## Below\nstays\n'
_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).disable("text_join")
_LIVE_CODE = re.compile(r"\s*(?:[=$]|(?:INPUT|VIEW|BUTTON)\[|button-)")


def run_with(text: str, *, markdown: bool, reason: str = "", outcome: Outcome = Outcome.SUCCESS) -> Run:
    """A run that brought this back."""
    result = Result(outcome=outcome, reason=reason, text=text, markdown=markdown, changed_notes=(), denials=())
    return Run(
        id=ID,
        key=f"a|at|{NOW.timestamp():.0f}",
        task="a",
        path="00_system/tasks/a.md",
        trigger=TriggerKind.AT,
        fire_time=NOW,
        claimed_at=NOW,
        state=RunState.ENDED,
        outcome=outcome,
        reason=reason,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=1),
        attempts=1,
        result=result,
    )


def faults(text: str, reason: str, *, markdown: bool) -> list[str]:
    """What is wrong with note, daily log and output note after a run that brought this back; nothing, it is hoped."""
    outcome = Outcome.FAILURE if reason else Outcome.SUCCESS
    run = run_with(text, markdown=markdown, reason=reason, outcome=outcome)
    entry = entry_of(run, ZONE)
    note = insert_runs(NOTE.encode(), [entry], 20)
    log = put_lines(new_file(NOW.date()), {ID: log_line(run, ZONE)})
    output = append_below(b"## Log\nmine\n\n## Below\nstays\n", "Log", output_text(run), ID)
    found = [*_note_faults(note), *acts("note", note.decode().split("---\n", 2)[2], 2)]
    if insert_runs(note, [entry], 20) != note:
        found.append("note: a second time is not nothing")
    if block_ids(log) != {ID} or log.count(b"\n") != 3:
        found.append("log: its line is not one line")
    if put_lines(log, {ID: log_line(run, ZONE)}) != log:
        found.append("log: a second time is not nothing")
    if not output.endswith(b"\n## Below\nstays\n") or append_below(output, "Log", "x", ID) != output:
        found.append("output: it has left its section")
    whole = output_text(run).rstrip() + "\n"
    if whole.startswith("---") or Document.parse(whole.encode()).block is not None:
        found.append("output: it begins with frontmatter")
    return [
        *found,
        *acts("log", log.decode(), 1),
        *acts("output", output.decode(), 2),
        *acts("whole output", whole, 0),
    ]


def _note_faults(note: bytes) -> Iterator[str]:
    """Whether the note is still its person's, and our section ours."""
    document = Document.parse(note)
    if document.fault is not None:
        yield f"note: {document.fault.message}"
        return
    if frontmatter.loads(note.decode()).metadata != frontmatter.loads(NOTE).metadata:
        yield "note: other properties"
    if document.definition_body.strip() != "Mine.":
        yield "note: another definition"
    if run_ids(note) != {ID}:
        yield f"note: runs {run_ids(note)}"
    if not note.endswith(b"\n## Below\nstays\n") or b"\nMy remark.\n" not in note:
        yield "note: text of its person's is gone"


def acts(where: str, markdown: str, headings: int, known: Set[str] | None = frozenset({ID})) -> Iterator[str]:
    """What would do something in Obsidian, or reach out of it. `known`: the block ids that may stand in it; None: any."""
    tokens = _MARKDOWN.parse(markdown)
    inner = [child for token in tokens for child in (token.children or [])]
    kinds = [token.type for token in (*tokens, *inner)]
    for kind in ("html_block", "html_inline", "image"):
        if kind in kinds:
            yield f"{where}: {kind}"
    found = [token for token in tokens if token.type == "heading_open" and token.level == 0]
    if len(found) != headings:
        yield f"{where}: {len(found)} headings"
    if any(token.type == "fence" and token.info not in ("text",) for token in tokens):
        yield f"{where}: a fence with a language"
    if any(token.type == "code_inline" and _LIVE_CODE.match(token.content) for token in inner):
        yield f"{where}: live inline code"
    if any("%%" in token.content or "![" in token.content for token in inner if token.type == "text"):
        yield f"{where}: a comment or an embed"
    for href in (str(token.attrGet("href")) for token in inner if token.type == "link_open"):
        if ":" in href and not href.lower().startswith(("http://", "https://", "mailto:")):
            yield f"{where}: a link to {href}"
    if "<%" in markdown or re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", markdown):
        yield f"{where}: a template tag or a control character"
    ids = re.findall(r"\^(r-\d{8}T\d{6}Z-[0-9a-f]{6})", markdown)
    if known is not None and (set(ids) - known or len(ids) > 1):
        yield f"{where}: block ids {ids}"


# --- secrets


def promised_forms(secret: str) -> set[bytes]:
    """Every form in which a secret of the env file must not be found: raw, base64, URL-encoded, JSON-escaped."""
    raw = secret.encode()
    texts_ = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    for safe in ("", "/", "!'()*", "!'()*~;,/?:@&=+$#", "$&+=:@", "*"):
        for encoded in (quote(raw, safe=safe), quote_plus(raw, safe=safe)):
            texts_ |= {encoded, re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), encoded)}
    forms = {text.encode() for text in texts_}
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"x" * before + raw)
            forms.add(whole[-(-8 * before // 6) : (8 * (before + len(raw))) // 6])
    return {form for form in forms if len(form) >= 8}


secrets = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), min_size=8, max_size=24),
    st.text("abcAB01_-./+=", min_size=8, max_size=60),
    st.text("ab", min_size=8, max_size=12),
    st.text("a!'()*~ &=+/é\"\\", min_size=8, max_size=20),
)
