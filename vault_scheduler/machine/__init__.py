"""This machine: its configuration, and where vault and state are."""
