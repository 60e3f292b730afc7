"""The scheduler that lives in an Obsidian vault: every task is one markdown note."""

__version__ = "0.1.0"
