"""`python -m vault_scheduler` is `vault-sched`."""

from __future__ import annotations

import atexit
import gc
import sys

BRIEF = frozenset(["--help", "check", "forecast", "history", "list", "next", "show", "status"])
"""Commands that look and end: what they make is nearly all in use until then."""
SELDOM = 100_000
"""So many objects more than before, and Python looks for those that are not in use: often enough where it matters."""


def main() -> None:
    """The program. Claude Code waits for `check --hook` after each file that it writes, so that loads nothing else."""
    if sys.argv[1:] == ["check", "--hook"]:
        from vault_scheduler.commands.hook import main as hook

        hook()
    if BRIEF.intersection(sys.argv[1:2]):
        gc.set_threshold(SELDOM)  # a tenth of their time else
        atexit.register(gc.freeze)  # nor does Python look through everything twice before it ends
    from vault_scheduler.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
