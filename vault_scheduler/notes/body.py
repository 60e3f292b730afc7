"""What a task's body holds: its code block or its prompt. Read when a run starts, not when a note is parsed.

markdown-it is loaded on first use: it costs more than parsing a hundred notes, and most notes are never run here.
`first_fence` and `has_prompt` are the cheap answers for parsing time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

PYTHON_LANGUAGES = frozenset({"python", "python3", "py"})
# Languages that name an interpreter; a block of `diff` or `json` is text that somebody quoted. "" is the shell.
LANGUAGES = frozenset(
    """
    sh shell bash dash ksh zsh fish nu nushell powershell pwsh python python3 py javascript js node mjs
    ruby rb perl pl php lua r julia tcl applescript
    """.split()  # noqa: SIM905 (prose reads better than a column of 30 strings)
) | {""}

_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*)$")
_LANGUAGE = re.compile(r"\{?\.?([\w+#-]+)")
_PROMPT_HEADING = re.compile(r"^ {0,3}##[ \t]+Prompt[ \t]*#*[ \t]*$", re.MULTILINE)
_COMMENT_MARKS = {"%%": "%%", "<!--": "-->"}


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced code block: `language` in lower case, `text` with its final newline, `line` from 0 in the body."""

    language: str
    text: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Fence:
    """The opening line of a code block, as the cheap scanner sees it."""

    language: str
    empty: bool


def first_code_block(body: str) -> CodeBlock | None:
    """The first fenced code block that a reader of the note sees; None if there is none."""
    return next(_code_blocks(body), None)


def first_python_block(body: str) -> CodeBlock | None:
    """The first fenced code block whose language is python."""
    return next((block for block in _code_blocks(body) if block.language in PYTHON_LANGUAGES), None)


def prompt(body: str) -> str:
    """The `## Prompt` section if there is one, else the whole body; without surrounding blank lines.

    The section ends at the next heading of its level or above. Comments stay: they are the author's words.
    """
    body = _unix(body)
    if not _PROMPT_HEADING.search(body):
        return body.strip()
    start = end = None
    for line, level, title in _headings(body):
        if start is None and level == 2 and title == "Prompt":
            start = line + 1
        elif start is not None and level <= 2:
            end = line
            break
    return body.strip() if start is None else "\n".join(body.split("\n")[start:end]).strip()


def first_fence(body: str, languages: frozenset[str] | None = None) -> Fence | None:
    """The first code block (of one of `languages`), judged by a look at the lines: for parsing time.

    It sees every block that `first_code_block` sees, and in odd places some more.
    """
    if "```" not in body and "~~~" not in body:
        return None
    found = (fence for fence in _fences(_visible(body)) if languages is None or fence.language in languages)
    return next(found, None)


def has_prompt(body: str) -> bool:
    """Whether there seems to be anything to say to Claude: a look at the text, for parsing time."""
    heading = _PROMPT_HEADING.search(body)
    if heading is None:
        return any(line.strip() for line in _visible(body))
    rest = body[heading.end() :]
    following = re.search(r"^#{1,2}[ \t]", rest, re.MULTILINE)
    return bool(rest[: following.start() if following else None].strip())


def _unix(body: str) -> str:
    return body.replace("\r\n", "\n").replace("\r", "\n") if "\r" in body else body


def _visible(body: str) -> list[str]:
    """The lines of the body with comments (`%%`, `<!--`) blanked: what is commented out must not run.

    Marks inside code count as code. A comment that is never closed hides the rest, as Obsidian shows it.
    """
    lines = _unix(body).split("\n")
    if not any(mark in body for mark in _COMMENT_MARKS):
        return lines
    fence = closing = ""
    for number, line in enumerate(lines):
        if closing:
            lines[number] = ""
            closing = "" if closing in line else closing
        elif fence:
            fence = "" if _closes(line, fence) else fence
        elif opening := _FENCE.match(line):
            fence = opening[1]
        else:
            lines[number], closing = _strip_comments(line)
    return lines


def _strip_comments(line: str) -> tuple[str, str]:
    """A line outside of code without its comments, and the mark that ends the comment it leaves open."""
    for opening, closing in _COMMENT_MARKS.items():
        kept, position = [], 0
        while (start := line.find(opening, position)) >= 0:
            if line.count("`", position, start) % 2:
                break  # inside inline code
            kept.append(line[position:start])
            end = line.find(closing, start + len(opening))
            if end < 0:
                return "".join(kept), closing
            position = end + len(closing)
        line = "".join(kept) + line[position:]
    return line, ""


def _closes(line: str, fence: str) -> bool:
    bare = line.strip(" \t>")
    return bare.startswith(fence) and not bare.strip(fence[0])


def _fences(lines: list[str]) -> Iterator[Fence]:
    opened = ""
    for number, line in enumerate(lines):
        if opened:
            opened = "" if _closes(line, opened) else opened
        elif match := _FENCE.match(line):
            opened = match[1]
            content = next((text for text in lines[number + 1 :] if text.strip(" \t>")), "")
            yield Fence(_language(match[2]), empty=not content or _closes(content, opened))


def _language(info: str) -> str:
    named = _LANGUAGE.match(info.strip())
    return named[1].lower() if named else ""


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable("inline")  # blocks are all we need, and inline parsing is the slow half


def _tokens(text: str) -> list[Token]:
    return _markdown().parse(text)


def _code_blocks(body: str) -> Iterator[CodeBlock]:
    if "```" not in body and "~~~" not in body:
        return
    for token in _tokens("\n".join(_visible(body))):
        if token.type == "fence":
            yield CodeBlock(_language(token.info), token.content, token.map[0] if token.map else 0)


def _headings(body: str) -> Iterator[tuple[int, int, str]]:
    """Line, level and title of the headings that are in nothing else."""
    tokens = _tokens(body)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            yield opening.map[0], int(opening.tag[1]), inline.content.strip()
