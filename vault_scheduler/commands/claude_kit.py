"""What Claude Code needs to be an author of task notes: the skill, the hooks, the MCP server, put into a vault.

All of it comes from the package's folder `skill`. Nothing of anybody else is overwritten: which files are ours, and as
they were installed, is written down beside them, and into settings that are there only our own entries go.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from vault_scheduler import __version__
from vault_scheduler.errors import NoteChanged, Refused
from vault_scheduler.platform.exchange import sync_folder
from vault_scheduler.platform.temp_files import write_temp
from vault_scheduler.text.json_text import BadJson, read_json, respelled
from vault_scheduler.vault.vault import Vault

SKILL = ".claude/skills/vault-sched"
SETTINGS = ".claude/settings.json"
SERVERS = ".mcp.json"
RECORD = f"{SKILL}/.installed.json"

OUR_HOOK = "vault-sched check --hook"
"""A hook whose command holds this is ours."""
TRY_IT = (
    "Open Claude Code in the vault, and say for example:",
    "  Every weekday at seven, write me a briefing of what is due.",
    "  Remind me on 1 March at nine to call the dentist.",
    "  Which of my tasks failed this week, and why?",
)
_SERVER = "vault-sched"
_USUAL_FOLDER = "00_system"

Shape = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was installed, by which version: the hash of each file of the skill, and our entries in settings."""

    version: str = ""
    skill: Mapping[str, str] = field(default_factory=dict)
    hooks: Shape = field(default_factory=dict)  # event → its groups
    server: Shape | None = None

    def text(self) -> str:
        """The record as it is kept in the vault."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(slots=True, kw_only=True)
class Fitting:
    """What became of the vault's files, by path: made, changed, removed; `kept` with the reason."""

    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people, one line for each file."""
        lines = [f"  made     {path}" for path in self.made]
        lines += [f"  changed  {path}" for path in self.changed]
        lines += [f"  removed  {path}" for path in self.removed]
        return [*lines, *(f"  kept     {path}: {why}" for path, why in self.kept.items())]


def is_installed(vault: Vault) -> bool:
    """Whether an `init` before this one put our things there."""
    return (vault.root / RECORD).is_file()


def install(vault: Vault, *, anew: bool = True) -> Fitting:
    """Put skill, hooks and server into the vault, or bring them up to this version; what is right stays untouched.

    Without `anew`, only what is still there is brought up to date: what a person has removed stays away. Raises
    Refused, before anything is written, where a settings file cannot be understood, or is of a newer version.
    """
    record, done = _record(vault), Fitting()
    if _newer(record.version):
        done.kept[SKILL] = f"installed by vault-sched {record.version}, which is newer"
        return done
    hooks, server = _hooks(), _mcp()["mcpServers"][_SERVER]
    settings = _edit(vault, SETTINGS, lambda old: with_hooks(old, hooks, record.hooks, anew=anew))
    servers = _edit(vault, SERVERS, lambda old: with_server(old, server, record.server, anew=anew))
    hashes = _install_skill(vault, record, done, anew=anew)
    settings(done)
    servers(done)
    if done.kept.get(SERVERS) is None and _foreign_server(vault, server):
        done.kept[SERVERS] = f"its server {_SERVER!r} is not the one of `init`"
    _keep_record(vault, Record(version=__version__, skill=hashes, hooks=hooks, server=server))
    return done


def remove(vault: Vault) -> Fitting:
    """Take away what `install` put there. What somebody changed since stays. Raises Refused as `install` does."""
    record, done = _record(vault), Fitting()
    settings = _edit(vault, SETTINGS, without_hooks)
    servers = _edit(vault, SERVERS, lambda old: without_server(old, record.server))
    for path, digest in record.skill.items():
        _remove_file(vault, path, digest, done)
    settings(done)
    servers(done)
    _unlink(vault, RECORD)
    for folder in (f"{SKILL}/references", SKILL, ".claude/skills", ".claude"):
        with suppress(OSError):
            (vault.root / folder).rmdir()  # only if it is empty
    return done


# --- the skill ---------------------------------------------------------------------------------------------


def skill_files(system_folder: str = _USUAL_FOLDER) -> dict[str, str]:
    """The skill's files by their paths in it; the tasks folder as it is called on this machine."""
    texts = {path: file.read_text("utf-8") for path, file in _walk(_package()) if path.endswith(".md")}
    return {path: text.replace(f"{_USUAL_FOLDER}/", f"{system_folder}/") for path, text in texts.items()}


def data_text(name: str) -> str:
    """`hooks.json` or `mcp.json`, as a plugin carries them."""
    return (_package() / name).read_text("utf-8")


def _package() -> Traversable:
    return files("vault_scheduler") / "skill"


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _install_skill(vault: Vault, record: Record, done: Fitting, *, anew: bool) -> dict[str, str]:
    """The hashes of the files that are ours after it."""
    ours: dict[str, str] = {}
    for name, text in skill_files(vault.system_folder).items():
        path, data = f"{SKILL}/{name}", text.encode()
        here, before = vault.read(path), record.skill.get(path)
        if here is None and before and not anew:
            continue
        if here is not None and here != data and _hash(here) != before:
            done.kept[path] = "changed by somebody; remove it to get this version's"
            continue
        _put(vault, path, data, here, done)
        ours[path] = _hash(data)
    for path in record.skill.keys() - {f"{SKILL}/{name}" for name in skill_files()}:
        _remove_file(vault, path, record.skill[path], done)  # a page that this version does not have any more
    return ours


def _remove_file(vault: Vault, path: str, digest: str, done: Fitting) -> None:
    here = vault.read(path)
    if here is None:
        return
    if _hash(here) != digest:
        done.kept[path] = "changed by somebody"
        return
    _unlink(vault, path)
    done.removed.append(path)


# --- settings of Claude Code: what stands in them ----------------------------------------------------------


def with_hooks(settings: Shape, ours: Shape, installed: Shape, *, anew: bool = True) -> Shape:
    """The settings with our hooks; those that somebody changed since they were installed stay. Pure. Raises Refused."""
    hooks = {event: list(groups) for event, groups in _object(settings, "hooks").items() if _is_list(event, groups)}
    for event, groups in ours.items():
        there, before = hooks.get(event, []), installed.get(event, [])
        if not any(OUR_HOOK in json.dumps(group) for group in there):
            there = [*there, *groups] if anew else there
        elif before:
            there = [groups[0] if group == before[0] else group for group in there]
        if there:
            hooks[event] = there
    return {**settings, "hooks": hooks} if hooks else settings


def without_hooks(settings: Shape) -> Shape:
    """The settings without our hooks, and without what is empty then. Pure. Raises Refused for an unknown shape."""
    before = _object(settings, "hooks")
    kept = {
        event: [g for g in groups if not _is_ours(g)] for event, groups in before.items() if _is_list(event, groups)
    }
    hooks = {event: groups for event, groups in kept.items() if groups or not before[event]}
    bare = {key: value for key, value in settings.items() if key != "hooks"}
    return settings if hooks == before else {**settings, "hooks": hooks} if hooks else bare


def _is_list(event: str, groups: object) -> bool:
    if not isinstance(groups, list):
        raise Refused(f"`hooks.{event}` is not a list. Mend it, then try again")
    return True


def _is_ours(group: object) -> bool:
    """Whether a group of hooks holds ours and nothing else."""
    inner = group.get("hooks") if isinstance(group, dict) else None
    commands = [str(each.get("command")) for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
    return bool(commands) and all(OUR_HOOK in command for command in commands)


def with_server(config: Shape, ours: Shape, installed: Shape | None, *, anew: bool = True) -> Shape:
    """The servers with ours; an entry of that name that `init` did not write stays. Pure. Raises Refused."""
    servers = _object(config, "mcpServers")
    there = servers.get(_SERVER)
    is_wanted = anew if there is None else installed is not None and there == installed
    return {**config, "mcpServers": {**servers, _SERVER: ours}} if is_wanted else config


def without_server(config: Shape, installed: Shape | None) -> Shape:
    """The servers without the one that `init` wrote. Pure. Raises Refused for an unknown shape."""
    servers = _object(config, "mcpServers")
    if installed is None or servers.get(_SERVER) != installed:
        return config
    left = {name: server for name, server in servers.items() if name != _SERVER}
    bare = {key: value for key, value in config.items() if key != "mcpServers"}
    return {**config, "mcpServers": left} if left else bare


def _object(settings: Shape, key: str) -> Shape:
    found = settings.get(key, {})
    if not isinstance(found, dict):
        raise Refused(f"`{key}` is not an object. Mend it, then try again")
    return found


def _hooks() -> Shape:
    hooks: Shape = json.loads(data_text("hooks.json"))["hooks"]
    return hooks


def _mcp() -> Shape:
    servers: Shape = json.loads(data_text("mcp.json"))
    return servers


def _foreign_server(vault: Vault, ours: Shape) -> bool:
    data = vault.read(SERVERS)
    there = read_json(data.decode("utf-8-sig")).get("mcpServers", {}).get(_SERVER) if data else None
    return there is not None and there != ours


# --- files -------------------------------------------------------------------------------------------------


def _edit(vault: Vault, path: str, change: Callable[[Shape], Shape]) -> Callable[[Fitting], None]:
    """Try a change of a JSON file; the function that comes back makes it. Raises Refused if it cannot be made."""
    before = vault.read(path)

    after = _changed(path, before or b"", change)

    def make(done: Fitting) -> None:
        if before is None:
            if after.strip():
                _put(vault, path, after, None, done)
        elif not after.strip():
            _unlink(vault, path)
            done.removed.append(path)
        else:
            _put(vault, path, after, before, done)

    return make


def _changed(path: str, data: bytes, change: Callable[[Shape], Shape]) -> bytes:
    """The bytes after a change; none if nothing is left that is worth a file."""
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    try:
        text = data[len(mark) :].decode()
        old = read_json(text) if text.strip() else {}
        if not isinstance(old, dict):
            raise BadJson("it is not an object", 1)
        new = change(old)
        if new == old:
            return data
        return mark + respelled(text if text.strip() else "{}\n", new).encode() if new else b""
    except BadJson as error:
        raise Refused(f"{path}:{error.line}: {error}. Nothing was written; mend the file, then try again") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8. Nothing was written; mend the file, then try again") from None
    except Refused as error:
        raise Refused(f"{path}: {error}") from None


def _record(vault: Vault) -> Record:
    """What stands in the record; nothing of ours is known where it is missing or damaged."""
    try:
        found = json.loads(vault.read(RECORD) or b"{}")
        return Record(
            version=str(found["version"]),
            skill=dict(found["skill"]),
            hooks=dict(found["hooks"]),
            server=found["server"],
        )
    except (ValueError, KeyError, TypeError):
        return Record()


def _keep_record(vault: Vault, record: Record) -> None:
    _put(vault, RECORD, record.text().encode(), vault.read(RECORD), Fitting())


def _newer(version: str) -> bool:
    return _numbers(version) > _numbers(__version__)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _put(vault: Vault, path: str, data: bytes, here: bytes | None, done: Fitting) -> None:
    """Write a file over the bytes that were read. Raises NoteChanged if they are others by now."""
    if here is None:
        vault.create(path, data)
        done.made.append(path)
    elif here != data:
        # Not by `Vault.edit`: the texts that it displaces are tidied away by the daemon, but not in dot folders.
        target = vault.place(path) or vault.root / path
        temp = write_temp(target, data, here, target.stat())
        try:
            if vault.read(path) != here:
                raise NoteChanged(path)
            temp.replace(target)
        finally:
            temp.unlink(missing_ok=True)
        sync_folder(target.parent)
        done.changed.append(path)


def _unlink(vault: Vault, path: str) -> None:
    if vault.place(path) is not None:
        with suppress(FileNotFoundError):
            os.unlink(vault.root / path)  # noqa: PTH108 (a link goes, not what it leads to)


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
