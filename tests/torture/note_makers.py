"""Strategies for notes that nobody would write: frontmatter made of real keys with values of the wrong kind."""

# ruff: noqa: E501  tables of odd texts

from __future__ import annotations

import json

from hypothesis import strategies as st

from vault_scheduler.parsing.keys import KEYS

NASTY_TEXTS = (
    "", " ", "\0", "a\0b", "\ud800", "\udcff", "\u2028", "\u202e", "~nobody-here/x.sh", "~", "/", "//", "..", "../../etc/passwd",
    "/dev/zero", "/proc/self/mem", "./a\0b.sh", "x/" * 2000 + "y.sh", "a" * 300 + ".py", "[[x]]", "[[x|y#z^w]]", "![[x]]", "**",
    "!**", "[!]", "[a", "{{date:" + "Y" * 400 + "}}", "{{title}}", "x.md#^id", "daily-note#", "-", "---", "%%", "1e999", "0x10",
    "9999-12-31T23:59:59", "0001-01-01", "2026-02-30", "-1s", "9" * 40 + "d", "1s", "0s", "100000000w", "Etc/GMT+12", "../UTC",
    "Pacific/Apia", "* * * * *", "*/7 * * * *", "0 0 29 2 *", "0 0 30 2 *", "H H * * *", "@reboot", "59 23 31 12 7", "0 0 L * *",
    "sh -c 'unclosed", "'", "\\", "python x.py ./tools/a.sh ../../../x.py", "tools:absent", "a.b.c:d.e", ":", "os:system", "builtins:eval",
    "true", "null", "None", "=1+1", "$(id)", "`id`", "A=B", "=B", "A\0=B", "é=ü", "{{date:%s}}", "Out/{{date:YYYY/MM/DD}}.md", "Out.md#H",
)  # fmt: skip

texts = st.one_of(st.sampled_from(NASTY_TEXTS), st.text(max_size=30))
numbers = st.one_of(
    st.integers(-(10**30), 10**30), st.floats(), st.sampled_from([0, 1, -1, 2**31, 2**63, 10**18, 0.1, 1e308])
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
GOOD = {
    "cron": st.sampled_from(["* * * * *", "0 7 * * 1-5", "*/5 0 31 12 *", "H H * * *", ["0 1 * * *", "0 2 * * *"]]),
    "every": st.sampled_from(["1s", "10s", "1h30m", "3650d", "36500d", "999999999d", "1w"]),
    "at": st.sampled_from(["9999-12-31T23:59", "2026-11-22T09:00", ["0001-01-01", "9999-12-31"], "2026-03-29T02:30"]),
    "start": st.sampled_from(["0001-01-01", "9999-12-31T23:59:59", "2026-01-01", "1900-01-01"]),
    "until": st.sampled_from(["0001-01-01", "9999-12-31", "2026-01-01"]),
    "timezone": st.sampled_from(["UTC", "Pacific/Apia", "Africa/Monrovia", "Etc/GMT-14", "Asia/Kathmandu"]),
    "paused_until": st.sampled_from(["9999-12-31T23:59:59", "0001-01-01", "2026-11-23"]),
    "command": st.one_of(texts, st.lists(texts, min_size=1, max_size=4)),
    "gate": st.one_of(texts, st.lists(texts, min_size=1, max_size=4)),
    "call": texts,
    "cwd": texts,
    "output": texts,
    "on_change": st.one_of(texts, st.lists(texts, min_size=1, max_size=4)),
    "after": st.one_of(texts, st.lists(texts, min_size=1, max_size=4)),
    "timeout": st.sampled_from(["1s", "999999999d", "1000000000w"]),
    "max_late": st.sampled_from(["1s", "999999999d", "3650000d", "0s"]),
    "retry_delay": st.sampled_from(["1s", "999999999d"]),
    "debounce": st.sampled_from(["1s", "999999999d"]),
}


BASES: tuple[dict[str, object], ...] = (
    {"type": "command", "command": "echo a", "cron": "0 7 * * *"},
    {"type": "command", "command": ["sh", "x.sh"], "every": "10m"},
    {"type": "command", "command": "echo a", "at": "2026-12-24T09:00"},
    {"type": "python", "call": "doc_freshness", "cron": "* * * * *"},
    {"type": "claude", "cron": "0 7 * * *"},
)


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, object]:
    """A good task with some keys of extreme values; sometimes with one that is plainly wrong."""
    found = dict(draw(st.sampled_from(BASES)))
    for name in draw(st.lists(st.sampled_from(sorted(GOOD)), max_size=3, unique=True)):
        if name not in ("command", "call") or name in found:
            found[name] = draw(GOOD[name])
    if not draw(st.integers(0, 3)):
        found[draw(st.sampled_from(sorted(KEYS)))] = draw(values)
    return found


bodies = st.one_of(
    st.sampled_from(["", "```sh\necho a\n```\n", "```python\nx\n```\n", "Say it.\n", "## Prompt\n", "## Runs\n"]),
    st.text(max_size=40),
)


@st.composite
def notes(draw: st.DrawFn) -> bytes:
    """Bytes of a note: its frontmatter as JSON, which is YAML, one key a line; sometimes with bytes broken."""
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in draw(mappings()).items())
    data = f"---\n{lines}---\n{draw(bodies)}".encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 5)):
        return data
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(max_size=6)) + data[at + draw(st.integers(0, 3)) :]
