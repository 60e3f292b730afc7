"""How each type of task becomes a process, and what the end of that process means."""
