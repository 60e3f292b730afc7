"""Which entries go into Claude Code's settings, and which stay as they are."""

from __future__ import annotations

from typing import Any

import pytest

from vault_scheduler.commands.claude_kit import with_hooks, with_server, without_hooks, without_server
from vault_scheduler.errors import Refused


def group(command: str, matcher: str = "Write") -> dict[str, Any]:
    return {"matcher": matcher, "hooks": [{"type": "command", "command": command}]}


OURS = {"PostToolUse": [group("exec vault-sched check --hook")]}
OLDER = {"PostToolUse": [group("vault-sched check --hook", "Write|Edit")]}
THEIRS = group("prettier --write")
MIXED = {**THEIRS, "hooks": [*THEIRS["hooks"], *group("vault-sched check --hook")["hooks"]]}


@pytest.mark.parametrize(
    ("settings", "installed", "anew", "becomes"),
    [
        ({}, {}, True, {"hooks": OURS}),
        ({"model": "opus"}, {}, True, {"model": "opus", "hooks": OURS}),
        ({"hooks": {"PostToolUse": [THEIRS]}}, {}, True, {"hooks": {"PostToolUse": [THEIRS, *OURS["PostToolUse"]]}}),
        ({"hooks": {"Stop": [THEIRS]}}, {}, True, {"hooks": {"Stop": [THEIRS], **OURS}}),
        ({"hooks": OURS}, OURS, True, {"hooks": OURS}),
        # an older version's are renewed in their place
        (
            {"hooks": {"PostToolUse": [*OLDER["PostToolUse"], THEIRS]}},
            OLDER,
            True,
            {"hooks": {"PostToolUse": [*OURS["PostToolUse"], THEIRS]}},
        ),
        # what somebody changed, or wrote, stays
        ({"hooks": OLDER}, OURS, True, {"hooks": OLDER}),
        ({"hooks": OLDER}, {}, True, {"hooks": OLDER}),
        ({"hooks": {"PostToolUse": [MIXED]}}, OURS, True, {"hooks": {"PostToolUse": [MIXED]}}),
        # what somebody removed stays away
        ({}, OURS, False, {}),
        ({"hooks": {"PostToolUse": [THEIRS]}}, OURS, False, {"hooks": {"PostToolUse": [THEIRS]}}),
        ({"hooks": OLDER}, OLDER, False, {"hooks": OURS}),
    ],
)
def test_hooks_are_added_once_and_renewed(
    settings: dict[str, Any], installed: dict[str, Any], anew: bool, becomes: dict[str, Any]
) -> None:
    """Ours come behind those that are there; only what is as an `init` left it is replaced."""
    assert with_hooks(settings, OURS, installed, anew=anew) == becomes


@pytest.mark.parametrize(
    ("settings", "becomes"),
    [
        ({"hooks": OURS}, {}),
        ({"hooks": OLDER, "model": "opus"}, {"model": "opus"}),
        ({"hooks": {"PostToolUse": [THEIRS, *OURS["PostToolUse"]]}}, {"hooks": {"PostToolUse": [THEIRS]}}),
        ({"hooks": {"PostToolUse": [MIXED]}}, {"hooks": {"PostToolUse": [MIXED]}}),
        ({"hooks": {"Stop": []}}, {"hooks": {"Stop": []}}),
        ({}, {}),
    ],
)
def test_removing_takes_our_hooks_and_what_is_empty_then(settings: dict[str, Any], becomes: dict[str, Any]) -> None:
    """Hooks of others stay, also those that share a group with ours."""
    assert without_hooks(settings) == becomes


SERVER = {"command": "vault-sched", "args": ["mcp"]}
OLD_SERVER = {"command": "vault-sched-mcp"}
OTHER = {"command": "other"}


@pytest.mark.parametrize(
    ("config", "installed", "anew", "server"),
    [
        ({}, None, True, SERVER),
        ({"mcpServers": {"other": OTHER}}, None, True, SERVER),
        ({"mcpServers": {"vault-sched": OLD_SERVER}}, OLD_SERVER, True, SERVER),
        ({"mcpServers": {"vault-sched": OLD_SERVER}}, SERVER, True, OLD_SERVER),
        ({"mcpServers": {"vault-sched": OTHER}}, None, True, OTHER),
        ({}, SERVER, False, None),
    ],
)
def test_the_server_is_added_and_a_different_one_of_that_name_stays(
    config: dict[str, Any], installed: dict[str, Any] | None, anew: bool, server: dict[str, Any] | None
) -> None:
    """Only the entry that an earlier `init` wrote is replaced, and other servers are never touched."""
    found = with_server(config, SERVER, installed, anew=anew)
    assert found.get("mcpServers", {}).get("vault-sched") == server
    assert found.get("mcpServers", {}).get("other") == config.get("mcpServers", {}).get("other")


@pytest.mark.parametrize(
    ("config", "becomes"),
    [
        ({"mcpServers": {"vault-sched": SERVER}}, {}),
        ({"mcpServers": {"other": OTHER, "vault-sched": SERVER}}, {"mcpServers": {"other": OTHER}}),
        ({"mcpServers": {"vault-sched": OTHER}}, {"mcpServers": {"vault-sched": OTHER}}),
        ({}, {}),
    ],
)
def test_removing_takes_the_server_that_was_installed(config: dict[str, Any], becomes: dict[str, Any]) -> None:
    """Somebody's own server of the same name stays."""
    assert without_server(config, SERVER) == becomes


@pytest.mark.parametrize("settings", [{"hooks": []}, {"hooks": {"PostToolUse": {}}}])
def test_settings_of_an_unknown_shape_are_refused(settings: dict[str, Any]) -> None:
    """Nothing is put where it would not be understood."""
    with pytest.raises(Refused, match="Mend it"):
        with_hooks(settings, OURS, {})
    with pytest.raises(Refused, match="Mend it"):
        without_hooks(settings)
