"""The vault on disk: listing, reading, editing, watching."""
