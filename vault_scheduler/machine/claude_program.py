"""The Claude Code that came with the scheduler, and that its runs use: whatever else is installed, or is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def bundled_cli() -> Path | None:
    """The program that the Agent SDK brings with it; the SDK itself is not imported."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    folders = spec.submodule_search_locations if spec else None
    found = [Path(folder, "_bundled", "claude") for folder in folders or ()]
    return next((path for path in found if path.is_file()), None)
