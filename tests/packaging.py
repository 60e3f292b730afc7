"""What `make dist` has built: the sdist holds what is needed, and its wheel is the one that the tree makes.

`python -m tests.packaging DIST TREE`: the folder with the sdist and its wheel, and one with the tree's own wheel.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

from vault_scheduler import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = "vault_scheduler"
INFO = f"vault_sched-{__version__}.dist-info"
IN_SDIST = (
    "tests",
    "docs",
    "example_vault",
    "plugin",
    "benchmarks",
    "requirements",
    "Makefile",
    ".ci/run",
    "README.md",
)
NOT_SHIPPED = ("__pycache__", ".git/", ".venv", ".pyc", "_cache", ".hypothesis")


def faults(dist: Path, tree: Path) -> Iterator[str]:
    """Everything wrong with what was built; nothing if it can be published."""
    (sdist,), (wheel,), (own,) = dist.glob("*.tar.gz"), dist.glob("*.whl"), tree.glob("*.whl")
    if contents(wheel) != contents(own):
        yield f"the wheel of the sdist is another one: {sorted(contents(wheel).items() ^ contents(own).items())}"
    yield from faults_of_wheel(contents(wheel))
    yield from faults_of_sdist(names_in(sdist))


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def names_in(sdist: Path) -> set[str]:
    """The files of an sdist, without its own folder."""
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def faults_of_wheel(files: dict[str, bytes]) -> Iterator[str]:
    """The package whole, nothing else, and metadata that an index takes."""
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*") if path.is_file()}
    wanted = {name for name in ours if "__pycache__" not in name}
    there = {name for name in files if not name.startswith(f"{INFO}/")}
    if there != wanted:
        yield f"the wheel lacks or has too much: {sorted(there ^ wanted)}"
    for name in sorted(there & wanted):
        if files[name] != (ROOT / name).read_bytes():
            yield f"the wheel has another {name} than the tree"
    told = message_from_bytes(files[f"{INFO}/METADATA"])
    expected = {
        "Name": "vault-sched",
        "Version": __version__,
        "Requires-Python": ">=3.11",
        "License-Expression": "MIT",
        "Description-Content-Type": "text/markdown",
    }
    for key, value in expected.items():
        if told[key] != value:
            yield f"METADATA says {key}: {told[key]}, not {value}"
    if not (told["Summary"] and len(told["Summary"]) < 512 and str(told.get_payload()).startswith("# ")):
        yield "METADATA has no summary, or no description"
    if f"{PACKAGE}/py.typed" not in files or not any("/skill/SKILL.md" in name for name in files):
        yield "the types or the skill are missing"
    if b"vault-sched = vault_scheduler.__main__:main" not in files[f"{INFO}/entry_points.txt"]:
        yield "the program is missing"


def faults_of_sdist(names: set[str]) -> Iterator[str]:
    """All that `make check test` needs, and nothing that was lying about."""
    for wanted in IN_SDIST:
        if not any(name == wanted or name.startswith(f"{wanted}/") for name in names):
            yield f"the sdist has no {wanted}"
    for name in sorted(names):
        if any(part in name for part in NOT_SHIPPED):
            yield f"the sdist has {name}"


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1]), Path(sys.argv[2])))
    print("\n".join(found) or f"vault-sched {__version__}: sdist and wheel are whole, and agree")
    sys.exit(1 if found else 0)
