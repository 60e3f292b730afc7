"""One Claude task against the real API, for people who have a key: `make live` (it costs some cents).

The key is taken from ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN of the environment.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.process.claude_stage import stage_in
from vault_scheduler.executors.base import action_to_json
from vault_scheduler.run import Outcome
from vault_scheduler.task import ClaudeAction

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
KEYS = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")
PROMPT = "Read Inbox.md, write its text in capital letters into a new note Shout.md, and answer with the word done."


def test_a_note_is_written_and_the_session_is_gone_on_with(tmp_path: Path) -> None:
    """A run reads and writes a note for some cents; a second one knows what the first one did."""
    secrets = {name: os.environ[name] for name in KEYS if os.environ.get(name)}
    if not secrets:
        pytest.skip(f"no {' or '.join(KEYS)} in the environment")
    with stage_in(tmp_path, secrets) as stage:
        action = action_to_json(ClaudeAction(model="haiku", max_usd=0.25))
        first = asyncio.run(stage.start(stage.request(action=action, body=PROMPT)))
        assert (first.outcome, first.reason) == (Outcome.SUCCESS, "")
        assert (stage.vault / "Shout.md").read_text().strip() == "AN IDEA."
        assert first.changed_notes == ("Shout.md",)
        assert 0 < (first.cost_usd or 0) < 0.25
        again = stage.request(action=action, body="Which note did you write? Its name alone.", resume=first.session_id)
        second = asyncio.run(stage.start(again))
        assert (second.outcome, second.session_id) == (Outcome.SUCCESS, first.session_id)
        assert "Shout" in second.text
