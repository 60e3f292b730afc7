"""The env file as it is now."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import pytest

from vault_scheduler.machine import live_env
from vault_scheduler.machine.config import read_env
from vault_scheduler.machine.live_env import LiveSecrets


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return tmp_path / "env"


def write(path: Path, text: str) -> None:
    """Each write has a time of its own, as with seconds between them."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_what_is_put_there_counts_at_once(env: Path) -> None:
    """A file that was not there, a value that is new, one that is taken away."""
    secrets = LiveSecrets(env, {}, lambda _: None)
    mark = secrets.mark()
    assert dict(secrets) == {}
    write(env, "TOKEN=one-secret\n")
    assert secrets.mark() != mark
    assert secrets["TOKEN"] == "one-secret"
    write(env, "OTHER=two-secret\n")
    assert dict(secrets) == {"OTHER": "two-secret"}
    assert len(secrets) == 1


def test_a_secret_that_was_replaced_is_one_still(env: Path) -> None:
    """What runs printed and will print of it is masked further on."""
    write(env, "TOKEN=one-secret\n")
    secrets = LiveSecrets(env, {"TOKEN": "one-secret"}, lambda _: None)
    write(env, "TOKEN=two-secret\n")
    assert secrets.ever() == ["one-secret", "two-secret"]


def test_a_file_that_is_not_valid_changes_nothing_and_is_pointed_out_once(env: Path) -> None:
    """Half a line that somebody is typing takes no login away; the message holds no value."""
    write(env, "TOKEN=one-secret\n")
    told: list[str] = []
    secrets = LiveSecrets(env, {"TOKEN": "one-secret"}, told.append)
    write(env, "TOKEN=one-secret\nfive-secret\n")
    assert secrets["TOKEN"] == secrets["TOKEN"] == "one-secret"
    assert len(told) == 1
    assert "five-secret" not in told[0]
    assert "stay in force" in told[0]


def test_who_asks_while_somebody_reads_it_is_told_what_it_says_now(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is given its login in one thread while another looks up what to mask in its output."""
    secrets = LiveSecrets(env, {}, lambda _: None)
    write(env, "TOKEN=one-secret\n")
    is_read, may_go_on = Event(), Event()

    def slowly(path: Path) -> dict[str, str]:
        is_read.set()
        assert may_go_on.wait(20)
        return read_env(path)

    monkeypatch.setattr(live_env, "read_env", slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(secrets.ever)
        assert is_read.wait(20)
        second = threads.submit(dict, secrets)
        wait([second], 0.1)
        may_go_on.set()
        assert first.result(20) == ["one-secret"]
        assert second.result(20) == {"TOKEN": "one-secret"}
