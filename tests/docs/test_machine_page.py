"""docs/machine.md shows a configuration that can be used as it stands."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from vault_scheduler.machine.config import Machine, Retain

PAGE = (Path(__file__).parents[2] / "docs/machine.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_files_can_be_read(tmp_path: Path) -> None:
    """The config.toml and the env file of the page are read without an error."""
    (tmp_path / "config.toml").write_text(block("toml"), encoding="utf-8")
    (tmp_path / "env").write_text(block("text"), encoding="utf-8")
    for name in ("config.toml", "env"):
        (tmp_path / name).chmod(0o600)
    machine = Machine.load(tmp_path)
    assert machine.host == "laptop"
    assert set(machine.secrets) == {"GITHUB_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"}
    assert machine.warnings == ()


def test_the_example_names_every_key(tmp_path: Path) -> None:
    """Each key of the configuration is on the page, and the ages shown for what is kept are the defaults."""
    for key in (*fields(Machine), *fields(Retain)):
        if key.name not in ("secrets", "warnings", "billing_problem", "billing_is_said", "faults"):
            assert re.search(rf"^{key.name} =|\[{key.name}\]|`{key.name}`", PAGE, re.MULTILINE), key.name
    (tmp_path / "config.toml").write_text(block("toml"), encoding="utf-8")
    assert Machine.load(tmp_path).retain == Retain()
