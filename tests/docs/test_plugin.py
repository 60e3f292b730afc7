"""The plugin for Claude Code carries what `init` installs, byte for byte, in the layout of a marketplace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vault_scheduler import __version__
from vault_scheduler.commands.claude_kit import data_text, skill_files

PLUGIN = Path(__file__).parents[2] / "plugin"
WHAT = "Schedules work by task notes in an Obsidian vault, which vault-sched runs."
AUTHOR = {"name": "The vault-sched developers"}


def generated() -> dict[str, str]:
    """The files of the plugin by their paths in it."""
    entry = {"name": "vault-sched", "source": "./", "description": WHAT}
    marketplace = {"name": "vault-sched", "owner": AUTHOR, "metadata": {"description": WHAT}, "plugins": [entry]}
    plugin = {"name": "vault-sched", "version": __version__, "description": WHAT, "author": AUTHOR, "license": "MIT"}
    return {
        ".claude-plugin/marketplace.json": _spelled(marketplace),
        ".claude-plugin/plugin.json": _spelled(plugin),
        ".mcp.json": data_text("mcp.json"),
        "hooks/hooks.json": data_text("hooks.json"),
        **{f"skills/vault-sched/{path}": text for path, text in skill_files().items()},
    }


def _spelled(shape: object) -> str:
    return json.dumps(shape, indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Make the folder anew."""
    shutil.rmtree(PLUGIN, ignore_errors=True)
    for path, text in generated().items():
        (PLUGIN / path).parent.mkdir(parents=True, exist_ok=True)
        (PLUGIN / path).write_text(text, encoding="utf-8")


@pytest.mark.skipif(not PLUGIN.is_dir(), reason="the plugin stays in the source tree")
def test_the_plugin_is_current() -> None:
    """Each file is exactly what is generated, and there is no other."""
    there = {path.relative_to(PLUGIN).as_posix(): path for path in PLUGIN.rglob("*") if path.is_file()}
    found = {name: path.read_text(encoding="utf-8") for name, path in there.items()}
    assert found == generated(), "run: python tests/docs/test_plugin.py"


if __name__ == "__main__":
    write()
