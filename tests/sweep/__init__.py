"""Fire times against Debian cron's own loop, minute by minute around changes of the clocks; in full: `make sweep`.

Nothing of `vault_scheduler` is used to find out what is right: zones are read with zoneinfo, expressions are made
together with what they mean, and the loop is cron's.
"""
