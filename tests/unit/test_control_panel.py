"""The Obsidian Base of the tasks: a valid file of that format that speaks of properties which the notes really have."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from vault_scheduler.commands.control_panel import control_panel
from vault_scheduler.parsing.keys import KEYS

BASE: dict[str, Any] = yaml.safe_load(control_panel("00_system"))
FUNCTIONS = {"if", "date", "now", "today", "relative", "inFolder"}
"""Of the expression language; Obsidian's help, "Functions"."""


def expressions(node: Any) -> list[str]:
    """All filter expressions below a node."""
    if isinstance(node, str):
        return [node]
    assert list(node) in (["and"], ["or"], ["not"]), "a filter group has exactly one word"
    return [text for item in next(iter(node.values())) for text in expressions(item)]


ALL = [
    *expressions(BASE["filters"]),
    *BASE["formulas"].values(),
    *(text for view in BASE["views"] if "filters" in view for text in expressions(view["filters"])),
]


@pytest.mark.parametrize("text", dict.fromkeys(ALL))
def test_expression_is_whole(text: str) -> None:
    """Brackets and quotes close, only known functions are called, and every word is a property of ours."""
    bare = re.sub(r'"[^"]*"', "", text)
    assert '"' not in bare
    assert bare.count("(") == bare.count(")")
    assert set(re.findall(r"(\w+)\(", bare)) <= FUNCTIONS
    words = set(re.findall(r"(?<![.\w])[a-z_]+\b(?![(.])", bare))
    assert words <= set(KEYS), f"{words - set(KEYS)} are no properties of a task note"


def test_columns_exist() -> None:
    """Every column is a property of ours, a formula of this file, or the file's name."""
    formulas = {f"formula.{name}" for name in BASE["formulas"]}
    known = set(KEYS) | formulas | {"file.name"}
    for view in BASE["views"]:
        assert set(view["order"]) <= known
        assert {item["property"] for item in view.get("sort", [])} <= known
    assert set(BASE["properties"]) <= known


def test_panel_has_the_views_people_look_for() -> None:
    """All tasks with their switches, failing, due today, overdue, questions, by type."""
    names = [view["name"] for view in BASE["views"]]
    assert names == ["All tasks", "Failing", "Due today", "Overdue", "Questions", "By type"]
    assert {"run_now", "status", "formula.overdue"} <= set(BASE["views"][0]["order"])


def test_renamed_system_folder_is_named() -> None:
    """The table shows the tasks of the folder that this machine's configuration names."""
    assert 'file.inFolder("System/tasks")' in yaml.safe_load(control_panel("System"))["filters"]["and"]
