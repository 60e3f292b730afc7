"""`python -m vault_scheduler` is `vault-sched`."""

from vault_scheduler.cli import main

if __name__ == "__main__":
    main()
