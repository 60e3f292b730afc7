"""The command line's verbs, and how they are shown."""
