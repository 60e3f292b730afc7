"""Telling people: notifiers of this machine, and pings."""
