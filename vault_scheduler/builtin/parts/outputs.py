"""Which notes tasks write: what stands in them is made anew by the next run, so it is nobody's word. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from vault_scheduler.builtin.parts.pages import Page, mentions
from vault_scheduler.errors import BadValue
from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.pairs import arguments
from vault_scheduler.parsing.values import is_unset
from vault_scheduler.text.moment_format import UnknownToken, pieces

_FIELD = re.compile(r"\{\{\s*(?P<name>date|time|title)\s*(?::(?P<format>[^{}]*))?\}\}")
_USUAL = {"date": "YYYY-MM-DD", "time": "HH-mm"}


class Outputs:
    """The notes that the tasks of a vault write."""

    def __init__(self, tasks: Sequence[Page]) -> None:
        """`tasks` are the notes below the tasks folder."""
        properties = [
            Document.parse(task.data).mapping for task in tasks if mentions(task.data, ["output", "dashboard"])
        ]
        templates = {text for each in properties if isinstance(text := each.get("output"), str) and "#" not in text}
        self._whole = [re.compile(output_pattern(template)) for template in sorted(templates)]
        self.to_come = frozenset(
            {template for template in templates if "{{" not in template} | set(_dashboards(properties))
        )
        """Notes that are there after the first run of their task, if not now."""

    def are(self, path: str) -> bool:
        """Whether a note is as a whole the `output` of a task."""
        return any(pattern.fullmatch(path) for pattern in self._whole)


def output_pattern(template: str) -> str:
    """A regular expression for the paths that an `output` can have: `{{date}}` is any day, `{{title}}` any name."""
    parts, at = [], 0
    for field in _FIELD.finditer(template):
        parts += [re.escape(template[at : field.start()]), _field(field)]
        at = field.end()
    return "".join([*parts, re.escape(template[at:])])


def _field(field: re.Match[str]) -> str:
    if field["name"] == "title":
        return r"[^/]+"
    try:
        parts = pieces(field["format"] or _USUAL[field["name"]])
    except UnknownToken:
        return r"[^/]+"
    return "".join(_token(part.token) if part.token else re.escape(part.text) for part in parts)


def _token(token: str) -> str:
    if token in ("MMMM", "MMM", "dddd", "ddd", "dd", "A", "a"):
        return r"[^\W\d]+"
    if token in ("YYYY", "GGGG", "YY", "GG", "MM", "DD", "WW", "HH", "hh", "kk", "mm", "ss"):
        return r"\d" * len(token)
    return r"\d+(?:st|nd|rd|th)" if token.endswith("o") else r"\d+"


def _dashboards(properties: Sequence[Mapping[str, object]]) -> Iterator[str]:
    for each in properties:
        if each.get("call") == "dashboard":
            with suppress(BadValue):
                given = each.get("args")
                yield str(({} if is_unset(given) else arguments(given)).get("note", "Dashboard.md"))
