"""docs/notifications.md shows notifiers that can be used as they stand, and names every topic."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from vault_scheduler.machine.config import Machine
from vault_scheduler.task import Topic

PAGE = (Path(__file__).parents[2] / "docs/notifications.md").read_text(encoding="utf-8")

_KNOWN = """
import json, sys, apprise
print(json.dumps([apprise.Apprise().add(url) for url in json.load(sys.stdin)]))
"""


def test_the_example_is_understood(tmp_path: Path) -> None:
    """The file is read without an error, and Apprise knows what to do with each address."""
    block = re.search(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    (tmp_path / "config.toml").write_text(block[1], encoding="utf-8")
    notifiers = Machine.load(tmp_path).notify
    assert set(notifiers) == {"phone", "mail", "chat", "desk"}
    urls = [address for address in notifiers.values() if isinstance(address, str)]
    done = subprocess.run(
        [sys.executable, "-c", _KNOWN], input=json.dumps(urls), capture_output=True, text=True, timeout=30, check=True
    )
    assert json.loads(done.stdout) == [True] * 3


def test_every_topic_is_explained() -> None:
    """The table is the words of `notify`, in their order."""
    named = re.findall(r"^\| `([a-z]+)` \|", PAGE.partition("|---|---|")[2], re.MULTILINE)
    assert named == [topic.value for topic in Topic]
