"""Addresses of pings, and what is said of addresses: nothing."""

from __future__ import annotations

import pytest

from vault_scheduler.notifiers.discretion import discreet
from vault_scheduler.notifiers.ping import ping_address
from vault_scheduler.planning.mailing import FAIL, START, SUCCESS

RID = "rid=6ba7e5c8"


@pytest.mark.parametrize(
    ("url", "kind", "address"),
    [
        ("https://hc-ping.com/u-1", SUCCESS, "https://hc-ping.com/u-1"),
        ("https://hc-ping.com/u-1/", START, "https://hc-ping.com/u-1/start"),
        ("https://hc-ping.com/u-1", FAIL, "https://hc-ping.com/u-1/fail"),
        ("https://hc-ping.com/key/slug?create=1", FAIL, "https://hc-ping.com/key/slug/fail?create=1"),
        ("http://[::1]:8000/ping/u", START, "http://[::1]:8000/ping/u/start"),
    ],
)
def test_the_kind_of_a_ping_is_the_end_of_its_path(url: str, kind: str, address: str) -> None:
    """What stands behind a question mark stays there."""
    assert ping_address(url, kind) == address


def test_each_run_has_an_id_of_its_own() -> None:
    """Start and end of a run carry the same one, as a UUID."""
    start, end, other = (
        ping_address("https://h/u", kind, run) for kind, run in ((START, "a"), (FAIL, "a"), (FAIL, "b"))
    )
    ids = [url.partition("rid=")[2] for url in (start, end, other)]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 36


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("error sending to https://hooks.example.org/T0/B1/xYz987", "https://hooks.example.org/T0/B1/xYz987"),
        ("401 for token AAbbCC-123 of bot", "tgram://12345:AAbbCC-123/987"),
        ("no such topic my-secret-topic", "ntfys://ntfy.sh/my-secret-topic"),
        ("login of you@example.org with p@ssword failed", "mailtos://you%40example.org:p%40ssword@smtp.example.org"),
        ("exit 1: bad key k-998877", ("curl", "-H", "k-998877")),
    ],
)
def test_no_part_of_an_address_is_told(words: str, address: str | tuple[str, ...]) -> None:
    """What a library or program says of a failure is told without host, path, user, password, arguments."""
    told = discreet(words, address)
    assert "***" in told
    for secret in ("xYz987", "hooks.example", "AAbbCC", "my-secret-topic", "p@ssword", "you@example", "k-998877"):
        assert secret not in told
