"""A scheduler out of its outfit, the same way for a daemon, a command and a test: what it is made of, wired."""

from __future__ import annotations

from vault_scheduler.daemon.outfit import Outfit
from vault_scheduler.daemon.parts import Parts
from vault_scheduler.daemon.scheduler import Scheduler

LOOK_AT_DISK = "Look after the disk: files do not break by themselves."


def assemble(outfit: Outfit) -> Scheduler:
    """Only wires; nothing has begun yet."""
    made: list[Scheduler] = []  # who posts to it has to be there before it is
    engine = outfit.engine(lambda event: made[0].post(event))
    postman = outfit.postman(lambda sent: made[0].post_sent(sent))
    parts = Parts(outfit, engine, postman)
    for damage in outfit.files.damages:
        parts.around.log_fault(damage, LOOK_AT_DISK, outfit.clock.now())
    made.append(Scheduler(parts))
    return made[0]
