"""The program behind `make demo`, run for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "example_vault/demo.py"


def run_demo(folder: Path, home: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home), "DEMO_FOLDER": str(folder), "DEMO_SECONDS": str(seconds)}
    environment = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
    return subprocess.run(
        [sys.executable, str(DEMO)], env=environment, cwd=home, capture_output=True, text=True, timeout=50
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo's folder and the user's home."""
    base = tmp_path_factory.mktemp("demo")
    (base / "home").mkdir()
    return base / "demo", base / "home"


@pytest.fixture(scope="module")
def done(places: tuple[Path, Path]) -> subprocess.CompletedProcess[str]:
    return run_demo(*places, seconds=14)


def note(places: tuple[Path, Path], name: str) -> str:
    return (places[0] / "vault/00_system/tasks" / f"{name}.md").read_text(encoding="utf-8")


def test_results_arrive_in_the_notes(done: subprocess.CompletedProcess[str], places: tuple[Path, Path]) -> None:
    """Within seconds the results of commands, functions and built-in tasks stand in their notes and are printed."""
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("vault-size", "open-tasks", "docs-review", "home/morning", "home/site-check"):
        assert "> [!success]" in note(places, name), name
        assert "run_now: true" not in note(places, name), name
    assert "2 past their review" in done.stdout
    assert "00_system/logs/" in done.stdout
    assert "open tasks" in (places[0] / "vault/Open tasks.md").read_text(encoding="utf-8")
    assert done.stderr == ""


def test_a_retry_can_be_seen(done: subprocess.CompletedProcess[str], places: tuple[Path, Path]) -> None:
    """The backup fails once on purpose, and its second attempt packs the notes."""
    assert "2 attempts" in note(places, "home/backup")
    assert "packed" in note(places, "home/backup")


def test_the_claude_task_is_blocked_with_the_cure(
    done: subprocess.CompletedProcess[str], places: tuple[Path, Path]
) -> None:
    """Without a login the briefing ends blocked, and its note says what to do."""
    text = note(places, "claude/daily-briefing")
    assert "last_status: blocked" in text
    assert "setup-token" in text


def test_the_secret_is_masked_everywhere(done: subprocess.CompletedProcess[str], places: tuple[Path, Path]) -> None:
    """The made-up secret of the demo is in no note, log, output file or line on the terminal."""
    secret = "not-a-real-token-4711"
    assert "[masked]" in note(places, "home/site-check")
    assert secret not in done.stdout
    files = [path for path in places[0].rglob("*") if path.is_file() and path.name != "env"]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_nothing_of_the_user_is_touched(done: subprocess.CompletedProcess[str], places: tuple[Path, Path]) -> None:
    """The user's home stays as it was: state, configuration and login of the demo are its own."""
    assert list(places[1].iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something and is not the demo's is refused, not replaced."""
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.md").write_text("years of work")
    refused = run_demo(folder, tmp_path, seconds=1)
    assert refused.returncode == 1
    assert "not empty" in refused.stderr
    assert (folder / "thesis.md").read_text() == "years of work"
