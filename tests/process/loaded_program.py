"""`vault-sched` that is loaded already: each command is a process of its own, forked from one that has its modules.

To load them takes a new interpreter longer than most commands work. A forked command has its own arguments, working
folder, environment and streams, and ends with its own exit code; only the loading is done before. Started as a
program, this file is the process that the commands are forked from.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

import vault_scheduler

NOT_LOADED = ("__main__", "testing", "testing_world")
# watchdog 7.1 warns when a folder that was just made is found twice; as an error that would end its thread.
WARNINGS = ("-W", "error", "-W", "ignore:Callback with id:RuntimeWarning")
_ASKING = Lock()


def run_command(
    arguments: tuple[str, ...], env: Mapping[str, str], cwd: Path, timeout_s: float = 90.0
) -> subprocess.CompletedProcess[str]:
    """A command of `vault-sched`, to its end; a warning of Python's is an error in it. Raises TimeoutExpired."""
    mine, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, mine, mine.makefile("r") as answers:
        with theirs, _ASKING:
            socket.send_fds(_loaded()[0], [b"!"], [theirs.fileno(), out.fileno(), err.fileno()])
        mine.sendall(json.dumps([arguments, dict(env), str(cwd)]).encode() + b"\n")
        mine.settimeout(timeout_s)
        pid = int(answers.readline())
        try:
            code = int(answers.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(arguments), timeout_s, _text(out), _text(err)) from None
        return subprocess.CompletedProcess(["vault-sched", *arguments], code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def _loaded() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The process that has all modules, and the socket for orders to it; it ends when nobody holds that any more."""
    mine, theirs = socket.socketpair()
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(Path(vault_scheduler.__file__).parents[1])}
    with theirs:
        program = [sys.executable, *WARNINGS, __file__, str(theirs.fileno())]
        loaded = subprocess.Popen(program, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    atexit.register(_end, mine, loaded)
    return mine, loaded


def _end(orders: socket.socket, loaded: subprocess.Popen[bytes]) -> None:
    orders.close()
    loaded.wait()


# --- the other side ---


def main(orders: socket.socket) -> None:
    """Load all, and fork a command for each order; returns in the forked ones, and when nobody asks any more."""
    for module in pkgutil.walk_packages(vault_scheduler.__path__, "vault_scheduler."):
        if module.name.rpartition(".")[2] not in NOT_LOADED:
            importlib.import_module(module.name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, _bury)
    while fds := socket.recv_fds(orders, 1, 3)[1]:
        if os.fork() == 0:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _keep(*fds)
        for fd in fds:
            os.close(fd)
    return None


def _bury(_number: int, _frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(asking: int, out: int, err: int) -> None:
    """Fork the command, and tell its end; returns in the command."""
    with socket.socket(fileno=asking) as asker, asker.makefile("r") as orders:
        arguments, env, cwd = json.loads(orders.readline())
        pid = os.fork()
        if pid:
            asker.sendall(b"%d\n" % pid)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with contextlib.suppress(OSError):
                asker.sendall(b"%d\n" % code)
            os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    _become(arguments, env, cwd)


def _become(arguments: list[str], env: dict[str, str], cwd: str) -> None:
    """Nothing of what this process was before is seen by the command."""
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    program: Any = sys.modules["vault_scheduler"].__file__
    sys.path[0] = cwd
    sys.argv = [str(Path(program).with_name("__main__.py")), *arguments]
    from vault_scheduler.__main__ import main as command

    command()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        main(asked)
