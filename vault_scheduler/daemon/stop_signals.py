"""The signals that tell a process of ours to stop (TERM, INT, and HUP unless it is ignored), or to drain."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping

_TWICE = (signal.SIGTERM, signal.SIGINT)
"""Given again they hurry; HUP comes twice by itself when a terminal is closed, from the shell and from the kernel."""


@contextlib.contextmanager
def stopped_by_signals(stop: asyncio.Event, hurry: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While it lasts, they set `stop` instead of ending the process; the second TERM or INT calls `hurry`."""

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set() and number in _TWICE:
            hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    signals = [*_TWICE]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under `nohup`
        signals.append(signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def ignore_orders() -> None:
    """Until somebody listens: these signals would end a process that has no handler for them."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def ordered_by_signals(orders: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """While it lasts, each of these signals gives its order; after it, they are ignored, also by what we become."""
    loop = asyncio.get_running_loop()
    for number, give in orders.items():
        loop.add_signal_handler(number, give)
    try:
        yield
    finally:
        for number in orders:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
