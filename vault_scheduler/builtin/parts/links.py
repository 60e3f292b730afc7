"""The links of notes, and which file of the vault each leads to, as Obsidian finds it: by the end of its path. Pure."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from vault_scheduler.builtin.parts.words import day_or_none

_WIKI = re.compile(r"\[\[([^\[\]\n]+?)\]\]")
_MARKDOWN = re.compile(r"\]\([ \t]*(?:<([^<>\n]+)>|([^()\s<>]+(?:\([^()\s]*\)[^()\s]*)*))")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_FIELD = re.compile(r"\{\{|<%")


def targets(text: str) -> Iterator[tuple[str, bool]]:
    """The files that a text links to, as written, without headings and aliases; and whether as a `[[link]]`."""
    if "[[" in text:
        for found in _WIKI.finditer(text):
            name = re.split(r"\\?\||#", found[1], maxsplit=1)[0].strip()
            if name and not _FIELD.search(name):
                yield name, True
    if "](" in text:
        for found in _MARKDOWN.finditer(text):
            name = unquote((found[1] or found[2]).split("#")[0].split("?")[0]).strip()
            if name and not _SCHEME.match(found[1] or found[2]) and not _FIELD.search(name):
                yield name, False


def is_day(target: str) -> bool:
    """Whether a link names a day: daily notes are linked to before they are made."""
    return day_or_none(target.rsplit("/", 1)[-1].removesuffix(".md")) is not None


class LinkIndex:
    """All files of a vault by the names that lead to them."""

    def __init__(self, paths: Iterable[str]) -> None:
        """`paths` are vault-relative."""
        self._by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for path in paths:
            plain = _plain(path)
            self._by_name[plain.rsplit("/", 1)[-1]].append((plain, path))

    def find(self, target: str, source: str) -> str | None:
        """The path of the file that a link in the note `source` leads to; None for a dead link."""
        wanted = _plain(target.replace("\N{NO-BREAK SPACE}", " "))
        folder = posixpath.dirname(_plain(source))
        if wanted.startswith("/"):
            return self._at(wanted.lstrip("/"))
        relative = posixpath.normpath(posixpath.join(folder, wanted))
        if wanted.startswith("."):
            return self._at(relative)
        return self._at(relative) or self._at(wanted) or self._ending(wanted)

    def _at(self, wanted: str) -> str | None:
        return next((path for plain, path in self._candidates(wanted) if plain in (wanted, f"{wanted}.md")), None)

    def _ending(self, wanted: str) -> str | None:
        ends = (f"/{wanted}", f"/{wanted}.md")
        found = [path for plain, path in self._candidates(wanted) if plain.endswith(ends)]
        return min(found, key=lambda path: (path.count("/"), path), default=None)

    def _candidates(self, wanted: str) -> list[tuple[str, str]]:
        name = wanted.rsplit("/", 1)[-1]
        return self._by_name.get(f"{name}.md", []) + self._by_name.get(name, [])


def _plain(path: str) -> str:
    return (path if path.isascii() else unicodedata.normalize("NFC", path)).lower()
