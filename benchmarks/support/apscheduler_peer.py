"""APScheduler 3.11 at the same work: so many jobs, one due in each second, half a second after the full one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler


def work(command: list[str]) -> None:
    """Run it, and pass on what it prints."""
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, start_new_session=True).stdout
    sys.stdout.write(said.decode())
    sys.stdout.flush()


def main() -> None:
    """Serve until terminated."""
    count, command = int(sys.argv[1]), sys.argv[2:]
    scheduler = BlockingScheduler(executors={"default": ThreadPoolExecutor(8)}, timezone=UTC)
    begin = datetime.now(UTC).replace(microsecond=500_000) + timedelta(seconds=2)
    for number in range(count):
        start = begin + timedelta(seconds=number)
        scheduler.add_job(work, "interval", [command], seconds=count, start_date=start, misfire_grace_time=30)
    scheduler.start()


if __name__ == "__main__":
    main()
