"""From a note's properties to a task, or to its problems. Pure."""
