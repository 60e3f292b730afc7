from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from vault_scheduler.errors import NoteRefused
from vault_scheduler.notes.headings import outline
from vault_scheduler.notes.note import Document, find_runs_heading, heading_end, set_keys

NOTES: dict[str, tuple[bytes, str]] = runpy.run_path(str(Path(__file__).with_name("nasty_notes.py")))["NOTES"]
BODY_REASONS = ("unclosed",)  # set_keys does not care about these
FRONT = b"---\ntype: command\n---\n"


def test_the_corpus_is_large() -> None:
    """At least sixty kinds of nasty notes are tried."""
    assert len(NOTES) >= 60


# --- reading


@pytest.mark.parametrize("name", NOTES)
def test_parse_never_raises(name: str) -> None:
    """Every file is a document; what cannot be used says why, on a line of the file."""
    data, _ = NOTES[name]
    doc = Document.parse(data)
    assert doc.data == data
    if doc.fault:
        assert doc.mapping == {}
        assert 1 <= doc.fault.line <= data.count(b"\n") + 1
    elif doc.block:
        start, end = doc.block
        assert data[:start].rstrip().endswith(b"---")
        assert data[end : doc.body_start].strip() == b"---"
    assert doc.body_text.encode("utf-8", "surrogateescape") == data[doc.body_start :]


def test_a_note_is_cut_at_its_fences() -> None:
    """BOM, line end, block, body and values are those of the bytes."""
    data = b'\xef\xbb\xbf---\r\ntype: command\r\ncron: "0 7 * * *"\r\n---\r\nText.\r\n\r\n## Runs\r\n'
    doc = Document.parse(data)
    assert (doc.bom, doc.eol, doc.fault) == (b"\xef\xbb\xbf", b"\r\n", None)
    assert doc.block_text == 'type: command\r\ncron: "0 7 * * *"\r\n'
    assert doc.mapping == {"type": "command", "cron": "0 7 * * *"}
    assert doc.body_text == "Text.\r\n\r\n## Runs\r\n"
    assert doc.definition_body == "Text."
    assert (doc.line_of_key("type"), doc.line_of_key("cron"), doc.line_of_key("none")) == (2, 3, 1)


def test_no_frontmatter_is_not_a_fault() -> None:
    """A note without frontmatter is a note that is not ours."""
    doc = Document.parse(b"# Title\n")
    assert (doc.block, doc.fault, doc.body_text) == (None, None, "# Title\n")


FAULT_LINES = [
    ("dots inside", 4),
    ("four dashes last", 3),
    ("lone CR in a value", 3),
    ("NUL", 6),
    ("conflict markers", 6),
    ("conflict markers in frontmatter", 3),
    ("duplicate key", 4),
    ("unquoted stars", 2),
    ("tab indentation", 3),
    ("unclosed quote", 2),
]


@pytest.mark.parametrize(("name", "line"), FAULT_LINES)
def test_a_fault_names_its_line_in_the_file(name: str, line: int) -> None:
    """The line is the one to change, counted from 1 in the file."""
    fault = Document.parse(NOTES[name][0]).fault
    assert fault is not None
    assert fault.line == line
    assert fault.fix


# --- setting keys


@pytest.mark.parametrize("name", NOTES)
def test_a_new_key_is_one_line_or_the_note_is_refused(name: str) -> None:
    """A key that is not there is one more line above the closing fence; nothing else changes."""
    data, reason = NOTES[name]
    if reason and not reason.startswith((*BODY_REASONS, "safely")):
        with pytest.raises(NoteRefused, match=re.escape(reason)):
            set_keys(data, {"zz_new": "2026-11-20T07:00:00"})
        return
    new = set_keys(data, {"zz_new": "2026-11-20T07:00:00"})
    assert Document.parse(new).mapping == {**Document.parse(data).mapping, "zz_new": "2026-11-20T07:00:00"}
    doc = Document.parse(data)
    assert doc.block is not None
    flow = doc.block_text.startswith("{")
    added = re.compile(rb'(?:, )?"zz_new": "2026-11-20T07:00:00"' if flow else rb" *zz_new: 2026-11-20T07:00:00\r?\n")
    found = added.search(new)
    assert found is not None
    assert new[: found.start()] + new[found.end() :] == data
    if not flow:
        assert found.start() == doc.block[1]
        assert found[0].endswith(doc.eol)


@pytest.mark.parametrize("name", NOTES)
@pytest.mark.parametrize("value", ["paused", "a: b", None, True, 3])
def test_replacing_a_value_touches_no_other_line(name: str, value: str | bool | int | None) -> None:
    """`status` gets the value, whatever its form; all bytes before its key and behind its value stay."""
    data, reason = NOTES[name]
    before = Document.parse(data)
    if "status" not in before.mapping:
        return
    if reason == "safely":
        with pytest.raises(NoteRefused, match=reason):
            set_keys(data, {"status": value})
        assert Document.parse(data) == before
        return
    new = set_keys(data, {"status": value})
    after = Document.parse(new)
    assert after.mapping == {**before.mapping, "status": value}
    assert list(after.mapping) == list(before.mapping)
    assert after.body == before.body
    rest = [
        line
        for line in before.block_text.split("\n")
        if line.strip() and "tive" not in line and "  ac" not in line and "pause" not in line
    ]
    there = after.block_text.split("\n")
    for line in rest:
        if not line.startswith(("status", '"status"', "{", "  # inside")):
            assert line in there


REPLACED = [
    # block before, value, block after
    ("status: active   # on\n", "paused", "status: paused   # on\n"),
    ("status: active   # on\n", None, "status:   # on\n"),
    ("status: active  \n", None, "status:  \n"),
    ("status:\n", "paused", "status: paused\n"),
    ("status: # later\n", "paused", "status: paused # later\n"),
    ("status:\n  - a # one\n  # two\n  - b\n# c\nx: 1\n", "paused", "status: paused\n# c\nx: 1\n"),
    ("status: # why\n- a\n- b # z\nx: 1\n", True, "status: true # why\n # z\nx: 1\n"),
    ("status: |\n  a\n  b\n\nx: 1\n", "paused", "status: paused\n\nx: 1\n"),
    ("status: 'a'\n", "it's", "status: 'it''s'\n"),
    ('status: "a"\n', "paused", 'status: "paused"\n'),
    ('{"status":"a","x":1}\n', None, '{"status":null,"x":1}\n'),
    ('{"x":1}\n', "off", '{"x":1, "status": "off"}\n'),
    ("{x: 1,}\n", "a", '{x: 1, "status": "a",}\n'),
    ("{}\n", 3, '{"status": 3}\n'),
    ("", None, "status:\n"),
    ("x: 1\n", "0 7 * * *", 'x: 1\nstatus: "0 7 * * *"\n'),
    ("status: null\n", None, "status: null\n"),  # says so already
    ("status: 0x10\n", 16, "status: 0x10\n"),
    ("status: 'true'\n", True, "status: true\n"),
    ("status: 1\n", True, "status: true\n"),
]


@pytest.mark.parametrize(("before", "value", "after"), REPLACED)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_values_are_spliced(before: str, value: str | bool | int | None, after: str, eol: str) -> None:
    """The exact bytes of each way to set a value."""
    data = f"---\n{before}---\nText".replace("\n", eol).encode()
    wanted = f"---\n{after}---\nText".replace("\n", eol).encode()
    assert set_keys(data, {"status": value}) == wanted


def test_several_keys_are_set_at_once() -> None:
    """Old and new keys of one write go in together, in the order asked for."""
    data = b"---\nrun_now: true\nlast_run:\nx: 1\n---\n"
    new = set_keys(data, {"next_run": None, "last_run": "2026-11-20T07:00:00", "run_now": False, "question": "ok?"})
    assert new == (b'---\nrun_now: false\nlast_run: 2026-11-20T07:00:00\nx: 1\nnext_run:\nquestion: "ok?"\n---\n')


def test_setting_what_stands_changes_nothing() -> None:
    """A value that stands already is left as it is written, comment and quotes included."""
    data = b"---\nstatus:   'active'  # c\nrun_now: False\nx: ~\n---"
    assert set_keys(data, {"status": "active", "run_now": False, "x": None}) is data


def test_impossible_keys_are_refused() -> None:
    """A name that is no property name is not written."""
    with pytest.raises(NoteRefused):
        set_keys(FRONT, {"a: b": "c"})


FRAGMENTS = [
    "# comment\n",
    "\n",
    "title: plain text # c\n",
    "quoted: 'it''s'\n",
    'double: "a\\tb"\n',
    "list:\n  - a # x\n  # y\n  - b\n",
    "flush:\n- a\n- b\n# after\n",
    "literal: |\n  ## Runs\n  # no comment\n\n",
    "folded: >-\n  a\n  b\n",
    "flow: [a, {b: c}]\n",
    "empty:\n",
    "noted: # c\n",
    "anchor: &x {a: 1}\n",
    "标题: 日报 🎉\n",
    "date: 2026-02-30\n",
    "多行: a\n  b\n",
    "tab:\tvalue\n",
    "'q': \"a\n  b\"\n",
    "null_: ~\n",
    "u2028: a\u2028b\n",
]
OLD_VALUES = [
    "",
    " active",
    " 'x'",
    ' "x" # c',
    "\n  - a\n  - b",
    "\n- a",
    " |\n  a\n\n  b",
    " [a,\n b]",
    " # c",
    "\tx",
    " a\n  b",
]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=30), st.sampled_from(["off", "7:30", "@daily"])
)


@st.composite
def notes(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """Bytes before the key `status`, with its value, and after it."""
    fragments = draw(st.lists(st.sampled_from(FRAGMENTS), unique=True, max_size=6))
    at = draw(st.integers(0, len(fragments)))
    old = draw(st.sampled_from(OLD_VALUES))
    tail = draw(st.sampled_from(["", "Text", "Text\n## Runs\n", "\n\n"]))
    bom = draw(st.sampled_from(["", "\ufeff"]))
    eol = draw(st.sampled_from(["\n", "\r\n"]))
    parts = [bom + "---\n" + "".join(fragments[:at]), f"status:{old}\n", "".join(fragments[at:]) + "---\n" + tail]
    first, middle, last = (part.replace("\n", eol).encode() for part in parts)
    return first, middle, last


@given(notes(), VALUES)
@settings(deadline=None)
def test_setting_a_key_leaves_every_other_byte(
    parts: tuple[bytes, bytes, bytes], value: str | bool | int | None
) -> None:
    """All bytes above and below the key's own lines stay, and every YAML reader finds the value."""
    above, middle, below = parts
    data = above + middle + below
    new = set_keys(data, {"status": value})
    assert new.startswith(above + b"status:")
    assert new.endswith(below)
    assert Document.parse(new).mapping == {**Document.parse(data).mapping, "status": value}
    own = new[len(above) : len(new) - len(below)].decode()
    assert yaml.load(own, Loader=yaml.CSafeLoader) == {"status": value}
    assert own.count("#") >= middle.count(b"#")
    assert set_keys(new, {"status": value}) == new


@given(st.binary(max_size=200), st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_kept_or_refused(block: bytes, body: bytes) -> None:
    """Garbage is refused, or keeps every byte around the new line."""
    data = b"---\n" + block + b"\n---\n" + body
    try:
        new = set_keys(data, {"last_run": "x"})
    except NoteRefused:
        return
    assert new.replace(b"last_run: x\n", b"", 1).replace(b', "last_run": "x"', b"", 1) == data


# --- headings


HEADING_FRAGMENTS = [
    "## Runs", "# A", "  ## Runs", "    ## Runs", "## Runs ##", "## Runs #x", "##Runs", "#", "## Runs\t", "### B",
    "- a", "- ", "-", "  - b", "1. x", "2. y", "10) z", "0. n", "-\tt", "* ", "+ x", "- ## Runs", "- > q",
    "> q", "> ## Runs", ">", "> - a", ">\t## Runs", "> ```", "  > q",
    "```", "````", "~~~", "  ```", "- ```", "   ```", "      ```", "``` a`",
    "text", "  text", "    text", "\ttext", "\t## Runs", "Runs", "---", "***", "- - -", "===", "---- x", "   ---",
    "", "", "<div>", "</div>", "<!-- c", "-->", "<pre>", "</pre>", "<?x", "?>", "<!-- x -->", "<![CDATA[", "]]>", "<!D",
]  # fmt: skip


def by_markdown(body: str) -> list[tuple[int, int, str]]:
    tokens = MarkdownIt("commonmark").parse(body)
    return [
        (int(token.tag[1]), token.map[0] if token.map else -1, tokens[number + 1].content)
        for number, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


@given(st.lists(st.sampled_from(HEADING_FRAGMENTS), max_size=9), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(deadline=None, max_examples=400)
def test_headings_are_those_of_markdown(lines: list[str], eol: str) -> None:
    """The scanner sees the top-level headings that markdown-it sees, with their levels, lines and texts."""
    body = eol.join(lines).encode()
    found = [
        (h.level, len(re.findall(rb"\r\n|\r|\n", body[: h.start])), h.title.decode()) for h in outline(body).headings
    ]
    assert found == by_markdown(eol.join(lines))


RUNS = [
    # body, offset of the heading that counts (None: there is none)
    ("## Runs\n", 0),
    ("a\n## Runs\nb\n\n## Runs\n", 13),  # the last one
    ("   ## Runs   ##  \n", 0),
    ("Runs\n---\n", 0),
    ("# Runs\n### Runs\n## runs\n## Runs x\n##Runs\n", None),
    ("```\n## Runs\n```\n", None),
    ("```\n## Runs\n", None),
    ("    ## Runs\n", None),
    ("%%\n## Runs\n%%\n", None),
    ("a %% b\n## Runs\n", 7),  # never closed: literal
    ("a %% b\n## Runs\n%%\n", None),
    ("%% a %%\n## Runs\n", 8),
    ("`%%`\n## Runs\n`%%`\n", 5),  # in code
    ("\\%% a\n## Runs\n%% b %%\n", 6),  # escaped
    ("```\n%%\n```\n## Runs\n%% x %%\n", 11),  # in a fence
    ("%% never closed\n## Runs\n", None),
    ("text <!--\n## Runs\n--> more\n", None),
    ("<!-- a -->\n## Runs\n", 11),
    ("$$\nx\n## Runs\n$$\n", None),
    ("$$x$$\n## Runs\n", 6),
    ("%%\na\n%% b\n## Runs\n%% c %%\n", 10),
    ("%%\na\n%% b %%\n## Runs\n%% c\n", None),  # closed and opened on one line
    ("> %%\n## Runs\n> %%\n", 5),  # a quote hides nothing below it
    ("> ## Runs\n", None),
    ("- a\n\n  ## Runs\n", None),
    ("- a\n## Runs\n", 4),
    ("- ```\n## Runs\n", 6),  # the fence ends with its list item
    ("<div>\n## Runs\n</div>\n", None),
    ("<div>\n\n## Runs\n", 7),
    ("a\u2028## Runs\u0085## Runs\n", None),
    ("a\r## Runs\rb", 2),
]


@pytest.mark.parametrize(("body", "offset"), RUNS)
def test_the_runs_heading_is_found_as_obsidian_shows_it(body: str, offset: int | None) -> None:
    """Not in code, comments, math, quotes, lists or HTML; the last one counts."""
    found = find_runs_heading(body.encode())
    assert (found.start if found else None) == offset


def test_the_end_of_a_section_is_found() -> None:
    """A section ends at the next heading of its level or above, else with the note."""
    data = FRONT + b"# A\n## Log\nx\n### Deeper\ny\n## Next\nz\n"
    assert heading_end(data, "Log") == data.index(b"## Next")
    assert heading_end(data, "Next") == len(data)
    assert heading_end(data, "Nowhere") is None


def test_a_section_that_ends_in_an_open_fence_is_refused() -> None:
    """What would be swallowed by an unclosed code fence is not written."""
    with pytest.raises(NoteRefused) as caught:
        heading_end(FRONT + b"## Log\n```\ncode\n", "Log")
    assert caught.value.line == 5
    with pytest.raises(NoteRefused):
        heading_end(FRONT + b"%% open\n", "Log")


SLOW = {
    "prose": b"Lorem ipsum dolor sit amet.\n\n" * 35_000,
    "dashes": b"- " * 500_000,
    "quotes": b">" * 1_000_000,
    "spaces in a heading": b"## a" + b" " * 1_000_000 + b"b",
    "spaces in a rule": b"- " * 3 + b" " * 1_000_000 + b"x",
    "spaces in a tag": b"<a" + b" " * 1_000_000 + b"b",
    "backticks": b"`" * 1_000_000 + b" %% ",
    "single backticks": b"%% " + b"` `` " * 200_000,
    "openers": b"%%\n" * 333_333,
    "comment openers": b"a <!-- b\n" * 110_000,
}


@pytest.mark.timeout(20)  # what is not linear takes minutes
@pytest.mark.parametrize("name", SLOW)
def test_no_body_is_slow_to_scan(name: str) -> None:
    """A megabyte is scanned in linear time, whatever is in it."""
    assert outline(SLOW[name]) is not None
