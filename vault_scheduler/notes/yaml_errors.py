"""What is wrong with YAML, told to people: the line to be changed, and what to write there where that is plain."""

from __future__ import annotations

import re

import yaml

from vault_scheduler.notes.yaml_writing import quoted


class YamlProblem(ValueError):
    """YAML that is not plainly valid: what, on which line (0-based in the text), for which key, and the fix."""

    def __init__(self, message: str, line: int = 0, key: str = "", fix: str = "") -> None:
        self.message = message
        self.line = line
        self.key = key
        self.fix = fix
        super().__init__(message)


_KEY_LINE = re.compile(r"([A-Za-z_][\w -]*):[ \t]+(\S.*?)(?:[ \t]+#.*)?[ \t\r]*$")
_ITEM_LINE = re.compile(r"([ \t]*-[ \t]+)([^\s\"'\[{|>].*?)(?:[ \t]+#.*)?[ \t\r]*$")
_LIST_KEY = re.compile(r"([A-Za-z_][\w-]*):[ \t\r]*$")
_START_MATTERS = ("while scanning a quoted scalar", "while parsing a flow sequence", "while parsing a flow mapping")


def explain(error: yaml.YAMLError, text: str) -> YamlProblem:
    """A parser's error as a problem on the line that a person has to change, with the line to write if it is known."""
    mark = getattr(error, "problem_mark", None)
    context = getattr(error, "context", None) or ""
    if context in _START_MATTERS:
        mark = getattr(error, "context_mark", None) or mark
    line = mark.line if mark else 0
    lines = text.split("\n")
    source = lines[line] if line < len(lines) else ""
    message = str(getattr(error, "problem", None) or error).split("\n")[0]
    if "\t" in source[: len(source) - len(source.lstrip())]:
        return YamlProblem("a tab indents the line", line, "", "Indent with spaces")
    if item := _ITEM_LINE.match(source):
        key = next((above[1] for above in map(_LIST_KEY.match, reversed(lines[:line])) if above), "")
        why = _why_quotes(item[2]) or f"YAML: {message}"
        return YamlProblem(why, line, key, f"Quote the value: {item[1].lstrip()}{quoted(item[2])}")
    return _explain_line(f"YAML: {message}", line, source)


def _explain_line(message: str, line: int, source: str) -> YamlProblem:
    found = _KEY_LINE.match(source)
    if found is None:
        return YamlProblem(message, line, "", "Write one `key: value` per line")
    key, value = found[1], found[2]
    if value[0] in "\"'":
        return YamlProblem(message, line, key, "Close the quote on the same line, and put nothing after it")
    if value[0] in "[{" and not value.startswith("{{"):
        return YamlProblem(message, line, key, "Close the bracket, or put quotes around the value")
    return YamlProblem(_why_quotes(value) or message, line, key, f"Quote the value: {key}: {quoted(value)}")


def _why_quotes(value: str) -> str:
    """In other words than the parser's: "did not find expected alphabetic or numeric character" helps nobody."""
    if value[0] in "*&!%@`?|>":
        return f"YAML needs quotes around a value that starts with {value[0]!r}"
    return 'YAML needs quotes around a value with ": " in it' if ": " in f"{value} " else ""
