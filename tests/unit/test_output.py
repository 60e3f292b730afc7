from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from vault_scheduler.notes.note import Document
from vault_scheduler.text.harmless import (
    clean,
    fenced,
    harmless_markdown,
    head_and_tail,
    message_line,
    one_line,
    plain_line,
)

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def flat(text: str) -> list[Token]:
    return [inner for token in MARKDOWN.parse(text) for inner in [token, *(token.children or [])]]


CLEANED = [
    ("a\r\nb", "a\nb", "CRLF"),
    ("10 %\r20 %\r\n", "10 %\n20 %\n", "a progress bar hides nothing"),
    ("\x1b[1;31mred\x1b[0m", "red", "colour"),
    ("\x1b]0;title\x07text", "text", "window title"),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", "terminal hyperlink"),
    ("\x9b31mred", "red", "eight-bit escape"),
    ("a\x00b\x08c\x07", "abc", "control characters"),
    ("tab\tstays", "tab\tstays", "tab"),
    ("a\u2028b", "a\nb", "line separator"),
    ("user\u202etxt.exe", "usertxt.exe", "text turned around"),
    ("bad \udcff byte", "bad \ufffd byte", "a byte that is not UTF-8"),
]


@pytest.mark.parametrize(("text", "expected", "case"), CLEANED, ids=[case for *_, case in CLEANED])
def test_control_sequences_are_taken_out(text: str, expected: str, case: str) -> None:
    """Terminal control is removed and line ends are LF."""
    assert clean(text) == expected


@given(st.text())
@settings(deadline=None)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    """What is clean stays, and can be written as UTF-8."""
    once = clean(text)
    assert clean(once) == once
    once.encode()


def test_head_and_tail_say_how_much_is_missing() -> None:
    """A long output keeps its beginning and its end and stays within the limit."""
    text = "\n".join(f"line {n}" for n in range(1000))
    cut = head_and_tail(text, 500)
    assert len(cut) <= 500
    assert cut.startswith("line 0\n")
    assert cut.endswith("line 999")
    assert "characters left out" in cut
    assert head_and_tail("short", 500) == "short"


@given(st.text(max_size=300), st.integers(1, 200))
@settings(deadline=None)
def test_head_and_tail_keep_the_limit(text: str, limit: int) -> None:
    """Never more than the limit."""
    assert len(head_and_tail(text, limit)) <= limit


def test_a_fence_is_longer_than_any_inside() -> None:
    """Raw output with fences of its own stays in one fence."""
    assert fenced("a\n````\nb\n") == "`````text\na\n````\nb\n`````"
    assert fenced(" \n") == ""


def test_a_fence_breaks_what_acts_on_bare_text() -> None:
    """Templater tags and block ids of runs are broken even in code."""
    text = fenced("<% tp.x %>\n^r-20261120T060000Z-3f9a1c")
    assert "<%" not in text
    assert "^r-2026" not in text


KEPT = [
    "A paragraph with *emphasis*, **strong**, ~~gone~~ and `code`.",
    "- one\n- two\n    - nested\n1. first\n2. second\n- [ ] open\n- [x] done",
    "See [[Note]], [[Note#Heading|alias]] and [the site](https://example.org/a?b=c&d=e).",
    "> a quote\n> goes on",
    "| a | b |\n|---|---|\n| 1 | [[x]] |",
    "a [relative](notes/a.md): described, [mail](mailto:a@b.org)",
    "2 < 3, 100 %, C:\\path, a ^ b, wow!",
    "`a | b` without a table",
    "***",
    "Umlaute äöü, 日本語, 👍",
]


@pytest.mark.parametrize("text", KEPT)
def test_plain_markdown_is_kept_as_it_is(text: str) -> None:
    """Paragraphs, lists, emphasis, tables and links pass unchanged."""
    assert harmless_markdown(text) == text


CHANGED = [
    ("![[secret note]]", "! [[secret note]]", "embed"),
    ("\\![[x]] !![[y]]", "! [[x]] !! [[y]]", "embed behind a backslash or a second mark"),
    ("![i](http://evil/x.png)", "! [i](http://evil/x.png)", "remote image is a link at most"),
    ("<img src=x>", "\\<img src=x>", "HTML"),
    ("</div> <!-- a", "\\</div> \\<!-- a", "closing tag and comment"),
    ("`= this.file`", "\\`= this.file\\`", "inline query"),
    ("`$= dv.x`", "\\`\\$= dv.x\\`", "inline script"),
    ("`` = 1 ``", "\\`\\` = 1 \\`\\`", "inline query in two backticks"),
    ("`VIEW[1]`", "\\`VIEW[1]\\`", "inline view"),
    ("open ` only", "open \\` only", "half of an inline code"),
    ("%% hidden %%", "%\\% hidden %\\%", "comment"),
    ("<% tp.file %>", "< % tp.file %>", "template tag"),
    ("$$x$$ costs $5", "\\$\\$x\\$\\$ costs \\$5", "formula"),
    ("text ^block-1", "text \\^block-1", "block id"),
    ("^r-20261120T060000Z-3f9a1c", "^ r-20261120T060000Z-3f9a1c", "block id of a run"),
    ("# Title\ntext", "\n**Title**\n\ntext", "heading"),
    ("a\n## Runs\nb", "a\n\n**Runs**\n\nb", "the heading of our own section"),
    ("- # In a list", "- **In a list**", "heading in a list"),
    ("> ## Quoted ##", "> **Quoted**", "heading in a quote"),
    ("Title\n---\nText\n===", "Title\n***\nText\n\\===", "underlined headings"),
    ("Title\n-", "Title\n\\-", "heading underlined by one dash"),
    ("---\na: b\n---", "\\---\na: b\n***", "frontmatter"),
    ("[x]: http://a", "[x]\\: http://a", "link definition"),
    ("[x](javascript:alert(1))", "[x]\\(javascript:alert(1))", "script link"),
    ("[x](java&#115;cript:a)", "[x]\\(java&#115;cript:a)", "script link in entities"),
    ("[x](obsidian://run)", "[x]\\(obsidian://run)", "application link"),
    ("[x](\nfile:///bin/sh)", "[x]\\(\nfile:///bin/sh)", "target on the next line"),
    ("```dataviewjs\ncode\n```", "```text\ncode\n```", "executable code block"),
    ("~~~mermaid\na\n~~~\nb", "```text\na\n```\nb", "tilde fence"),
    ("1. do\n   ```sh\n   ls\n     x\n   ```\n2. b", "1. do\n```text\nls\n  x\n```\n2. b", "fence in a list"),
    ("```\nnever closed", "```text\nnever closed\n```", "open fence"),
    ("> ```js\n> x", "> \\`\\`\\`js\n> x", "fence in a quote"),
    ("- ```js\n  x", "- \\`\\`\\`js\n  x", "fence behind a list mark"),
    ("| a |\n|---|\n| `<b | c>` |", "| a |\n|---|\n| \\`\\<b | c>\\` |", "code split by a table cell"),
]


@pytest.mark.parametrize(("text", "expected", "case"), CHANGED, ids=[case for *_, case in CHANGED])
def test_what_would_act_becomes_plain_text(text: str, expected: str, case: str) -> None:
    """Each construct that acts in Obsidian is made text."""
    assert harmless_markdown(text).strip("\n") == expected.strip("\n")


MARKS = st.sampled_from(
    [
        *"\\`~<>[](){}!#*_-+=|:.&%^$\"' \n\n\n\tab1",
        "```", "````", "~~~", "``", "---", "===", "***", "- ", "1. ", "> ", "    ", "  ", "# ", "## Runs", "\n\n",
        "![[", "]]", "![", "](", "]: ", "javascript:", "http://x", "<div>", "<!--", "-->", "<%", "%>", "%%",
        "$$", "$= ", "= ", "`= x`", "|---|---|\n", "| a ", " ^id", " ^r-20261120T060000Z-3f9a1c", "&lt;", "&#60;",
        "```dataviewjs\n", "<script>", "<https://x>", "\\\n", ":-:", "[x]", "![x](y)", "<x@y.z>", "\r", "\x1b[0m",
    ]
)  # fmt: skip
HOSTILE = st.lists(MARKS, max_size=25).map("".join)

FORBIDDEN = {"html_block", "html_inline", "image", "heading_open"}


def assert_harmless(tokens: list[Token]) -> None:
    assert not FORBIDDEN & {token.type for token in tokens}
    for token in tokens:
        if token.type == "fence":
            assert token.info == "text"
        if token.type == "code_inline":
            assert not token.content.lstrip().startswith(("=", "$"))
            assert "%%" not in token.content
        if token.type == "link_open":
            href = str(token.attrs["href"])
            assert ":" not in href or href.startswith(("http://", "https://", "mailto:"))
        if token.type == "text":
            assert "![[" not in token.content


def quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


@given(HOSTILE)
@settings(max_examples=300, deadline=None)
def test_no_executable_or_structural_construct_survives_in_an_answer(text: str) -> None:
    """Whatever Claude answers, the note shows no HTML, image, heading, query or foreign code block."""
    result = harmless_markdown(text)
    assert_harmless(flat(result))
    assert not result.startswith("---")
    assert "<%" not in result
    assert "^r-2026" not in result


@given(HOSTILE, st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_follows_the_output_is_not_swallowed(text: str, raw: bool) -> None:
    """At the top level and in a callout the heading after the output is still a heading."""
    harmless = fenced(text) if raw else harmless_markdown(text)
    for shown in (harmless, quoted(f"[!success]- now\n{harmless}")):
        tokens = MARKDOWN.parse(f"{shown}\n\n## Mine\n\nend")
        assert [t.tag for t in tokens if t.type == "heading_open"] == ["h2"]
        assert tokens[-2].content == "end"
        assert_harmless(flat(shown))
    if raw and harmless:
        assert [t.type for t in MARKDOWN.parse(harmless)] == ["fence"]


@given(HOSTILE)
@settings(max_examples=300, deadline=None)
def test_one_line_holds_no_markdown(text: str) -> None:
    """A reason is text: in a list line, whatever it says, nothing but text and escapes is left."""
    line = one_line(text)
    assert "\n" not in line
    inner = {t.type for t in flat(f"- 2026-11-20 07:00 {line} end")}
    assert inner <= {
        "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
        "paragraph_open", "paragraph_close", "inline", "text", "text_special",
    }  # fmt: skip


@given(HOSTILE)
@settings(max_examples=300, deadline=None)
def test_a_message_holds_text_and_code_that_does_nothing(text: str) -> None:
    """Our messages quote what stands in notes: of their markdown nothing is left but inert code spans."""
    line = message_line(text)
    assert "\n" not in line
    tokens = flat(f"- 07:00 {line} end")
    assert {t.type for t in tokens} <= {
        "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
        "paragraph_open", "paragraph_close", "inline", "text", "text_special", "code_inline",
    }  # fmt: skip
    code = [t.content.lstrip() for t in tokens if t.type == "code_inline"]
    assert [each for each in code if each.startswith(("=", "$")) or "%%" in each or "<%" in each] == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cron: `*/5 * * * *` is *not* quoted", "cron: `*/5 * * * *` is \\*not\\* quoted"),
        ("`a` and `b`", "`a` and `b`"),
        ("`= this.file`, `$= x`, ` `, `a %% b`", "\\`\\= this.file\\`, \\`\\$\\= x\\`, \\` \\`, \\`a \\%\\% b\\`"),
        ("half `open", "half \\`open"),
    ],
)
def test_a_message_shows_as_code_what_it_quotes(text: str, line: str) -> None:
    """Unless a plugin would run it."""
    assert message_line(text) == line


@pytest.mark.parametrize(
    ("text", "same"),
    [("[[Kitchen]]: done", True), ("- [[a|b]]: c", True), ("[[a]]:: b", False), ("[a]: https://x.test", False)],
)
def test_a_colon_behind_a_wikilink_is_one(text: str, same: bool) -> None:
    """It defines no link, as it would behind another label; two of them are a field of Dataview."""
    assert (harmless_markdown(text) == text) is same


def test_lines_are_cut_to_their_limit() -> None:
    """A reason is bounded, in plain text too."""
    assert plain_line("a\n  b\tc", 10) == "a b c"
    assert plain_line("x" * 300, 10) == "x" * 9 + "…"
    assert one_line("a*b") == "a\\*b"


def test_a_long_answer_takes_linear_time() -> None:
    """A megabyte of half-open marks is made harmless without delay."""
    assert len(harmless_markdown("`a``b" * 40_000)) > 200_000


def test_gits_conflict_markers_do_not_make_a_note_unreadable() -> None:
    """A diff of a conflict is text; in a note of its own it must not count as an unresolved one."""
    diff = "<<<<<<< HEAD\na\n||||||| base\n=======\nb\n>>>>>>> other"
    for text in (fenced(diff), harmless_markdown(diff), harmless_markdown(f"```\n{diff}\n```")):
        assert Document.parse(f"---\na: 1\n---\n{text}\n".encode()).fault is None
        assert "HEAD" in text


def test_an_answer_that_starts_with_a_heading_starts_on_the_first_line() -> None:
    """The blank lines that set a bold line off are for what stands around it."""
    assert harmless_markdown("# Today\n\nAll quiet.\n## Next") == "**Today**\n\n\nAll quiet.\n\n**Next**"


@pytest.mark.timeout(20)  # what is not linear takes minutes
@pytest.mark.parametrize(
    "line", ["# a" + " " * 200_000 + "x", "# " * 10_000 + "x", "# " + "#" * 20_000, "#" + "\t" * 20_000 + "#x"]
)
def test_a_heading_of_many_spaces_costs_no_time(line: str) -> None:
    """An answer is made harmless while other tasks wait for their turn."""
    assert harmless_markdown(line)


HEADINGS = [("# a", "a"), ("## a ##", "a"), ("### a#", "a#"), ("# # b # #", "# b #"), ("#\ta\t#\t", "a"), ("## ##", "")]


@pytest.mark.parametrize(("line", "title"), HEADINGS, ids=[line for line, _ in HEADINGS])
def test_a_heading_becomes_bold_without_its_marks(line: str, title: str) -> None:
    """Opening and closing marks go, those that belong to the title stay."""
    assert harmless_markdown(line) == (f"**{title}**" if title else "\\#")
