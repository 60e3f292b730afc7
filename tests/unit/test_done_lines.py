"""The daemon's own lines."""

from __future__ import annotations

import pytest

from vault_scheduler.commands.done_lines import event_parts


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (("success", "briefing", ""), ("success", "briefing", "")),
        (("failure", "backup", "exit 2: no disk"), ("failure", "backup", "exit 2: no disk")),
        # a problem names its place itself
        (("problem", "t/a.md", "t/a.md:3: cron: no"), ("problem", "", "t/a.md:3: cron: no")),
        (("problem", "ledger", "it is damaged"), ("problem", "ledger", "it is damaged")),
        # a sentence in the place of the word
        (("waits for slot", "backup", ""), ("waiting", "backup", "waits for slot")),
        (("attempt 1: failure · exit 2; again in 1 min", "backup", ""),
         ("waiting", "backup", "attempt 1: failure · exit 2; again in 1 min")),
    ],
)  # fmt: skip
def test_a_line_is_a_word_a_subject_and_how(told: tuple[str, str, str], shown: tuple[str, str, str]) -> None:
    """The words stand below each other, and no path stands in a line twice."""
    assert event_parts(*told) == shown
