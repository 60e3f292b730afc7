"""How runs are told in notes and logs. Pure."""
