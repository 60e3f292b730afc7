"""Decisions: what is due, missed, held, affordable; what stands where. Pure."""
