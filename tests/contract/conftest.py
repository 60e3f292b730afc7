"""The suites of protocols are async: a coroutine test runs in an event loop of its own. And a vault on disk."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A vault without notes."""
    (tmp_path / "vault/00_system/tasks").mkdir(parents=True)
    return tmp_path / "vault"
