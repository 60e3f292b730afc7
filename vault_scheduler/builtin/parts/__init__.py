"""What the built-in tasks share: the vault's pages, links, words for notes. Nothing here is a task by itself."""
