"""`python -m vault_scheduler` is `vault-sched`."""

from __future__ import annotations

import sys


def main() -> None:
    """The program. Claude Code waits for `check --hook` after each file that it writes, so that loads nothing else."""
    if sys.argv[1:] == ["check", "--hook"]:
        from vault_scheduler.commands.hook import main as hook

        hook()
    from vault_scheduler.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
