"""`check --fix` quotes what needs quotes, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.fixes import fix


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"cron: */5 * * * *", b'cron: "*/5 * * * *"'),
        (b"cron: * * * * *", b'cron: "* * * * *"'),
        (b"cron: @daily", b'cron: "@daily"'),
        (b"cron: */5 * * * *  # every 5 minutes", b'cron: "*/5 * * * *"  # every 5 minutes'),
        (b"cron:   */5 * * * *  ", b'cron:   "*/5 * * * *"  '),
        (b"cron:\n  - */5 * * * *\n  - 0 7 * * *", b'cron:\n  - "*/5 * * * *"\n  - 0 7 * * *'),
        (b"cron:\n- @daily", b'cron:\n- "@daily"'),
        (b"command: echo a: b", b'command: "echo a: b"'),
        (b'command: echo "x": y', b'command: "echo \\"x\\": y"'),
        (b"output: {{date}}.md", b'output: "{{date}}.md"'),
        (b"timeout: %5m", b'timeout: "%5m"'),
        (b"cron: \xe2\x80\x9c0 7 * * *\xe2\x80\x9d", b'cron: "0 7 * * *"'),  # curly quotes
        (b"host: \xe2\x80\x98laptop\xe2\x80\x99", b'host: "laptop"'),
        (b"schedule: */5 * * * *", b'schedule: "*/5 * * * *"'),  # an alias
        (b"cron: */5 * * * *\noutput: {{date}}.md", b'cron: "*/5 * * * *"\noutput: "{{date}}.md"'),
    ],
)
@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_values_that_need_quotes_get_them(before: bytes, after: bytes, eol: bytes) -> None:
    """Every other byte stays: order, comments, line ends."""
    note = b"---\n# mine\ntype: command\n%s\nretries: 007\n---\nText.\n"

    def whole(value: bytes) -> bytes:
        return (note % value).replace(b"\n", eol)

    assert fix(whole(before)) == whole(after)
    assert fix(whole(after)) == whole(after)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"No frontmatter.\n",
        b"---\ntype: command\n",  # unclosed
        b"---\ncron: 0 7 * * *\nstatus: off\n---\n",  # readable: not ours to change
        b'---\ncron: "*/5 * * * *"\n---\n',
        b"---\ncron: */5 * * * *\n\tbroken: [\n---\n",  # quotes alone do not make it readable
        b"---\ncron: 1\ncron: 2\n---\n",
        b"---\nmine: */5\n---\n",  # not a key of ours
        b"---\nmine: \xe2\x80\x9cx\xe2\x80\x9d\n---\n",
        b"---\nsystem_prompt: |\n  cron: */5\n---\n",
        b"---\nargs: {\n  a: 1\n}\n---\n",
        b"---\ncron: \0\n---\n",
    ],
)
def test_other_notes_are_left_alone(data: bytes) -> None:
    """What is readable, not ours, or not to be cured by quotes stays as it is."""
    assert fix(data) == data


@given(
    st.binary(max_size=80)
    | st.text(max_size=80).map(lambda text: f"---\ncron: {text}\n---\nx".encode("utf-8", "replace"))
)
def test_fixing_never_breaks_a_note(data: bytes) -> None:
    """The result is the note itself, or one without a fault and with the same body."""
    fixed = fix(data)
    if fixed != data:
        before, after = Document.parse(data), Document.parse(fixed)
        assert after.fault is None
        assert after.body == before.body
        assert fix(fixed) == fixed


def test_what_keeps_the_note_from_being_read_is_quoted_whoever_it_belongs_to() -> None:
    """One value that YAML cannot read takes all properties with it; comments and other values stay."""
    before = b"---\r\ncron: */5 * * * *   # five\r\nmine: @foo\r\ntags: [a, b]\r\noutput: {{date}}.md\r\n---\r\n- @x"
    after = (
        b'---\r\ncron: "*/5 * * * *"   # five\r\nmine: "@foo"\r\ntags: [a, b]\r\noutput: "{{date}}.md"\r\n---\r\n- @x'
    )
    assert fix(before) == after
    assert fix(after) == after


def test_curly_quotes_of_the_users_own_stay() -> None:
    """They are typography there."""
    data = "---\ntitle: “nice”\ncron: @daily\n---\n".encode()
    assert fix(data) == '---\ntitle: “nice”\ncron: "@daily"\n---\n'.encode()
