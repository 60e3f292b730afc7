"""`init` makes Claude Code an author of tasks: files in a real vault, put there, renewed, and taken away again."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import PATIENCE_S
from vault_scheduler import __version__
from vault_scheduler.commands import claude_kit
from vault_scheduler.commands.claude_kit import RECORD, SERVERS, SETTINGS, SKILL, install, remove
from vault_scheduler.errors import NoteUnreadable, Refused
from vault_scheduler.vault.vault import Vault

USERS = (
    '{\n\t"model": "opus", "permissions": {"allow": ["Bash(ls:*)"]},\n'
    '\t"hooks": {\n\t\t"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]\n\t}\n}'
)
OTHER_SERVERS = '{"mcpServers": {"weather": {"command": "weather"}}}\r\n'


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    (tmp_path / "00_system/tasks").mkdir(parents=True)
    return Vault(tmp_path)


def tree(vault: Vault) -> dict[str, bytes]:
    """Every file of the vault."""
    return {str(path.relative_to(vault.root)): path.read_bytes() for path in vault.root.rglob("*") if path.is_file()}


def put(vault: Vault, path: str, text: str) -> Path:
    file = vault.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def load(vault: Vault, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((vault.root / path).read_bytes())
    return found


def test_an_empty_vault_gets_skill_hooks_and_server(vault: Vault) -> None:
    """Claude Code finds each of them where it looks for them in a project."""
    done = install(vault)
    assert (vault.root / SKILL / "SKILL.md").read_text().startswith("---\nname: vault-sched\n")
    assert {path.name for path in (vault.root / SKILL / "references").iterdir()} == {
        "format.md",
        "keys.md",
        "recipes.md",
    }
    hooks = load(vault, SETTINGS)["hooks"]
    assert hooks["PostToolUse"][0]["matcher"] == "Write|Edit|MultiEdit"
    assert hooks["PreToolUse"][0]["matcher"] == "CronCreate|ScheduleWakeup"
    assert load(vault, SERVERS)["mcpServers"]["vault-sched"] == {"command": "vault-sched", "args": ["mcp"]}
    assert not done.kept


def test_a_second_time_changes_nothing(vault: Vault) -> None:
    """`init` on every start of a day leaves every byte as it is."""
    install(vault)
    before = tree(vault)
    assert install(vault).lines() == []
    assert tree(vault) == before


def test_what_is_there_keeps_its_bytes_and_comes_back_when_ours_is_removed(vault: Vault) -> None:
    """In somebody's settings only our entries come and go; files that we made go; nothing else stays behind."""
    put(vault, SETTINGS, USERS)
    put(vault, SERVERS, OTHER_SERVERS)
    put(vault, ".claude/skills/mine/SKILL.md", "mine")
    before = tree(vault)
    install(vault)
    assert USERS.removesuffix("\n\t}\n}") in (vault.root / SETTINGS).read_text()
    assert load(vault, SERVERS)["mcpServers"].keys() == {"weather", "vault-sched"}
    done = remove(vault)
    assert tree(vault) == before
    assert f"{SKILL}/SKILL.md" in done.removed
    assert not (vault.root / SKILL).exists()


def test_removing_leaves_no_trace_in_a_vault_that_had_nothing(vault: Vault) -> None:
    """Also the folders go."""
    install(vault)
    remove(vault)
    assert tree(vault) == {}
    assert not (vault.root / ".claude").exists()
    assert remove(vault).lines() == []


def test_an_older_versions_files_are_renewed(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older `init` wrote, and nobody changed, becomes this version's; its pages that are no more go."""
    monkeypatch.setattr(claude_kit, "skill_files", lambda _="": {"SKILL.md": "older\n", "old.md": "older\n"})
    monkeypatch.setattr(claude_kit, "__version__", "0.0.9")
    install(vault)
    monkeypatch.undo()
    done = install(vault, anew=False)
    assert done.changed == [f"{SKILL}/SKILL.md"]
    assert done.removed == [f"{SKILL}/old.md"]
    assert load(vault, RECORD)["version"] == __version__


def test_what_somebody_changed_stays(vault: Vault) -> None:
    """A page of the skill, a hook, the server: changed by hand, they survive both a renewal and a removal."""
    install(vault)
    skill = put(vault, f"{SKILL}/SKILL.md", "my own words\n")
    settings = put(vault, SETTINGS, (vault.root / SETTINGS).read_text().replace('"timeout": 30', '"timeout": 5'))
    servers = put(vault, SERVERS, '{"mcpServers": {"vault-sched": {"command": "/opt/vault-sched", "args": ["mcp"]}}}')
    before = tree(vault)
    done = install(vault)
    assert set(done.kept) == {f"{SKILL}/SKILL.md", SERVERS}
    assert {path: text for path, text in tree(vault).items() if path != RECORD} == {
        path: text for path, text in before.items() if path != RECORD
    }
    remove(vault)
    assert skill.read_text() == "my own words\n"
    assert not settings.exists()
    assert servers.exists()


def test_what_somebody_removed_stays_away_until_it_is_asked_for(vault: Vault) -> None:
    """A plain `init` renews what is there; `init --claude` brings everything back."""
    install(vault)
    (vault.root / SERVERS).unlink()
    (vault.root / SKILL / "references/recipes.md").unlink()
    install(vault, anew=False)
    assert not (vault.root / SERVERS).exists()
    assert not (vault.root / SKILL / "references/recipes.md").exists()
    install(vault)
    assert (vault.root / SERVERS).exists()
    assert (vault.root / SKILL / "references/recipes.md").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "model": "opus"\n  "hooks": {}\n}', r"settings.json:3: .*delimiter.* Nothing was written"),
        ("[]", "it is not an object"),
        ('{"hooks": []}', "`hooks` is not an object"),
        ('{"hooks": {}, "hooks": {}}', "'hooks' is there twice"),
    ],
)
def test_settings_that_cannot_be_understood_are_refused_and_nothing_is_written(
    vault: Vault, text: str, said: str
) -> None:
    """The line and the reason are told; no half of an installation is left."""
    put(vault, SETTINGS, text)
    before = tree(vault)
    with pytest.raises(Refused, match=said):
        install(vault)
    assert tree(vault) == before


def test_a_newer_versions_files_are_left_alone(vault: Vault) -> None:
    """A machine with an older vault-sched does not undo what another one installed."""
    install(vault)
    put(vault, RECORD, (vault.root / RECORD).read_text().replace(f'"{__version__}"', '"99.0.0"'))
    put(vault, f"{SKILL}/SKILL.md", "of the future")
    assert "newer" in install(vault).kept[SKILL]
    assert (vault.root / SKILL / "SKILL.md").read_text() == "of the future"


def test_a_claude_folder_that_leads_out_of_the_vault_is_refused(
    vault: Vault, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing is written where the vault ends."""
    elsewhere = tmp_path_factory.mktemp("dotfiles")
    (vault.root / ".claude").symlink_to(elsewhere)
    with pytest.raises(NoteUnreadable):
        install(vault)
    assert list(elsewhere.iterdir()) == []


def test_the_skill_names_the_folder_as_this_machine_calls_it(tmp_path: Path) -> None:
    """Where `00_system` is renamed, the skill says the name that counts."""
    (tmp_path / "meta/tasks").mkdir(parents=True)
    install(Vault(tmp_path, "meta"))
    text = (tmp_path / SKILL / "SKILL.md").read_text()
    assert "`meta/tasks/`" in text
    assert "00_system" not in text


# --- the command -------------------------------------------------------------------------------------------


def init(folder: Path, *arguments: str, answer: str | None = None) -> str:
    """`vault-sched init` in a home of its own; with an answer, on a terminal."""
    command = [sys.executable, "-W", "error", "-m", "vault_scheduler", "init", str(folder / "vault"), *arguments]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TZ": "UTC", "LANG": "C.UTF-8"}
    if answer is None:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        said = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            said += data
        assert child.wait(PATIENCE_S) == 0, said
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


def test_init_asks_on_a_terminal_and_obeys(tmp_path: Path) -> None:
    """A no leaves the vault without; a yes installs, and says what one can say to Claude."""
    skill = tmp_path / "vault" / SKILL
    assert "Shall Claude Code write tasks here" in init(tmp_path, answer="n")
    assert not skill.exists()
    assert "Every weekday at seven" in init(tmp_path, answer="y")
    assert (skill / "SKILL.md").is_file()


def test_init_without_a_terminal_installs_only_what_it_is_told_to(tmp_path: Path) -> None:
    """No question is asked that nobody answers; what is installed can be taken away again."""
    skill = tmp_path / "vault" / SKILL
    assert "`vault-sched init --claude`" in init(tmp_path)
    assert "--claude" not in init(tmp_path, "--no-claude")
    assert not skill.exists()
    assert f"made     {SKILL}/SKILL.md" in init(tmp_path, "--claude")
    assert "all as it should be" in init(tmp_path)
    assert f"removed  {SKILL}/SKILL.md" in init(tmp_path, "--remove-claude")
    assert not skill.exists()
