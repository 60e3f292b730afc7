"""When a task is due: cron, intervals, one-shots, in every time zone."""
