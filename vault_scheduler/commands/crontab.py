"""Reading a crontab: which lines are entries, and what each would run. Pure. Source: crontab(5) of Debian's cron."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_ASSIGNMENT = re.compile(r"""\s*(?P<name>[A-Za-z_]\w*|"[^"]*"|'[^']*')\s*=\s*(?P<value>.*?)\s*\Z""")
_ALIAS = re.compile(r"\s*(?P<when>@\w+)\s+(?P<rest>\S.*)\Z")
_FIELDS = re.compile(r"\s*(?P<when>\S+(?:\s+\S+){4})\s+(?P<rest>\S.*)\Z")
_SPLIT = re.compile(r"(?<!\\)%")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")
_LEADING_CD = re.compile(r"""\s*cd\s+("[^"]*"|'[^']*'|[^\s;&|]+)\s*(&&|;)\s*""")
_SHELLS = ("sh", "bash", "zsh", "python", "python3", "node")
_UNTELLING = frozenset({*_SHELLS, "env", "sudo", "cd", "nice", "ionice", "test"})
"""Programs that say nothing about what is done: the next word is looked at."""
LONGEST_NAME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a crontab that runs something. `environment` is what the lines above it set."""

    line: int  # from 1
    text: str  # as written
    when: str  # five fields, or `@daily`, `@reboot`
    command: str
    stdin: str | None = None  # what follows the first `%`
    user: str = ""  # of a system crontab
    comment: str = ""  # the comment right above it
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A name for the task: of what the comment says if it is short, else of the program."""
        return _slug(self.comment) if 0 < len(self.comment) <= LONGEST_NAME else _slug(_telling(self.command))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRead:
    """A line that is neither an entry, nor an assignment, nor a comment."""

    line: int
    text: str


def read_crontab(text: str, *, with_user: bool = False) -> tuple[list[Entry], list[NotRead]]:
    """The entries in their order, and what could not be read. `with_user`: the sixth field is one (/etc/crontab)."""
    entries: list[Entry] = []
    not_read: list[NotRead] = []
    for found in _lines(text, with_user):
        (entries if isinstance(found, Entry) else not_read).append(found)  # type: ignore[arg-type]
    return entries, not_read


def _lines(text: str, with_user: bool) -> Iterator[Entry | NotRead]:
    environment: dict[str, str] = {}
    comment = ""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        bare = line.strip()
        if bare.startswith("#"):
            comment = bare.lstrip("# \t")
            continue
        if not bare:
            comment = ""
            continue
        matched = _ALIAS.match(line) if bare.startswith("@") else _FIELDS.match(line)
        assigned = None if bare[0] in "@*0123456789" else _ASSIGNMENT.match(line)
        if assigned is not None:
            environment = {**environment, _unquoted(assigned["name"]): _unquoted(assigned["value"])}
        elif matched is None:
            yield NotRead(line=number, text=bare)
        else:
            yield _entry(number, bare, matched, comment, environment, with_user)
        comment = ""


def _entry(
    number: int, text: str, matched: re.Match[str], comment: str, environment: Mapping[str, str], with_user: bool
) -> Entry:
    user, _, rest = matched["rest"].partition(" ") if with_user else ("", "", matched["rest"])
    command, *data = _SPLIT.split(rest)
    return Entry(
        line=number,
        text=text,
        when=" ".join(matched["when"].split()),
        command=command.replace("\\%", "%").strip(),
        stdin="\n".join(part.replace("\\%", "%") for part in data) if data else None,
        user=user,
        comment=comment,
        environment=environment,
    )


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _telling(command: str) -> str:
    """The first word that says what is done: a program's name without its folder and extension."""
    for word in _LEADING_CD.sub("", command).split():
        name = word.rpartition("/")[2].partition(".")[0]
        plain = _slug(name)
        if plain and "=" not in word and not word.startswith(("-", "/dev")) and name not in _UNTELLING:
            return name
    return command


def _slug(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text).strip("-").lower()[:LONGEST_NAME].strip("-") or "task"
