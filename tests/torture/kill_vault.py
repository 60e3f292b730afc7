"""The vault that is attacked with kill -9: tasks of every kind that fire each second or two, and leave marks outside.

Every attempt appends a line to a file outside of the vault, in one write, before it does anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.process.conftest import World

SETTINGS = """---
# how this vault is run
status: active
timezone: UTC
note_quiet: 1s
note_interval: 2s
max_parallel: 10
---
The settings of this vault.
"""

BODY = """What it is for, with a [[link]] and trailing blanks.{blanks}

## Runs
Somebody's remark about the runs.

## Mine
- stays ^mine
"""

# A mark in one write; whether the process before it still lives is asked before it takes that one's place.
ATTEMPT = r"""
place={outside}; name=$VAULT_SCHED_TASK; me="$name $VAULT_SCHED_RUN $VAULT_SCHED_ATTEMPT"
echo "$me begun" >> $place/marks.txt
state() {{ read -r pid < $place/pids/$1 && read -r _ _ state _ < /proc/$pid/stat && echo $state; }} 2>/dev/null
lives() {{ case $(state $1) in ""|Z|X) false ;; esac; }}
[ $VAULT_SCHED_ATTEMPT -gt 1 ] && lives $VAULT_SCHED_RUN && echo "$me beside-its-former" >> $place/marks.txt
[ $1 = alone ] && lives $name && echo "$me beside-another" >> $place/marks.txt
echo $$ > $place/pids/$VAULT_SCHED_RUN; echo $$ > $place/pids/$name
shift
case $1 in
  say) echo "said by $VAULT_SCHED_RUN" ;;
  sleep) sleep $2; echo "slept by $VAULT_SCHED_RUN" ;;
  fail) exit 3 ;;
  second) [ $VAULT_SCHED_ATTEMPT -gt 1 ] || exit 4 ;;
  stay) [ $VAULT_SCHED_ATTEMPT -gt 1 ] || sleep $2 ;;
  much) head -c 300000 /dev/zero | tr '\0' x ;;
  flee) (setsid sleep $2 &); setsid sleep $2 & sleep $2 ;;
esac
"""

PYTHON = '''
import os
from pathlib import Path


def work() -> dict[str, str]:
    """Leave a mark, and bring back some markdown."""
    run = os.environ["VAULT_SCHED_RUN"]
    line = f"{os.environ['VAULT_SCHED_TASK']} {run} {os.environ['VAULT_SCHED_ATTEMPT']} begun\\n"
    mark = os.open(Path("{outside}") / "marks.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(mark, line.encode())
    return {"markdown": f"said by {run}"}
'''


@dataclass(frozen=True)
class Kind:
    """A task of this vault; `every` in seconds, 0: it is made due by something else."""

    name: str
    every: int
    does: str
    more: Mapping[str, object] = field(default_factory=dict)
    alone: bool = True  # no two runs of it side by side

    @property
    def retries(self) -> int:
        return int(str(self.more.get("retries", 0)))

    @property
    def keep(self) -> int:
        return int(str(self.more.get("keep_runs", 8)))

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(str(self.more.get("after", "")).replace("[[", "").replace("]]", "").split())

    def note(self, attempt: Path) -> str:
        """The note as its person wrote it."""
        lines = ["# a comment of the person's", "type: command" if self.does else "type: python"]
        lines += [f"every: {self.every}s  # quite often"] if self.every else []
        lines += [f"command: sh {attempt} {'alone' if self.alone else 'any'} {self.does}"] if self.does else []
        more = {"keep_runs": 8, "tags": "[mine]", "run_now": "false  # tick me", "status": "active", **self.more}
        lines += [f"{key}: {self._link(value) if key == 'after' else value}" for key, value in more.items()]
        return "---\n" + "\n".join(lines) + "\n---\n" + BODY.format(blanks="  ")

    def _link(self, value: object) -> str:
        return "[" + ", ".join(f'"{link}"' for link in str(value).split()) + "]"


KINDS = (
    Kind("second", 1, "say"),
    Kind("two", 2, "say"),
    Kind("three", 3, "say", {"catch_up": "all"}),
    Kind("punctual", 2, "say", {"catch_up": "skip"}),
    Kind("skips", 1, "sleep 1.5"),
    Kind("queues", 2, "sleep 2.5", {"overlap": "queue"}),
    Kind("cancels", 3, "sleep 4", {"overlap": "cancel"}),
    Kind("allows", 2, "sleep 3", {"overlap": "allow"}, alone=False),
    Kind("fails", 4, "fail", {"retries": 1, "retry_delay": "1s"}),
    Kind("fails-once", 3, "second", {"retries": 2, "retry_delay": "1s"}),
    Kind("stays", 5, "stay 40", {"retries": 2, "retry_delay": "1s", "timeout": "20s"}),
    Kind("is-left", 5, "sleep 45"),
    Kind("flees", 7, "flee 46", {"overlap": "queue"}),
    Kind("python", 3, "", {"call": "marks:work", "retries": 1, "retry_delay": "1s"}),
    Kind("replaces", 2, "say", {"output": '"Out/whole.md"'}),
    Kind("appends", 3, "say", {"output": '"Out/headed.md#Results"'}),
    Kind("dated", 5, "say", {"output": '"Out/{{date}} {{time:HH-mm-ss}}.md"'}),
    Kind("asks", 2, "say", {"gate": '"test $(($(date +%s) % 4)) -lt 2"'}),
    Kind("group-a", 2, "sleep 0.7", {"group": "g"}),
    Kind("group-b", 2, "sleep 0.7", {"group": "g", "overlap": "queue"}),
    Kind("prints", 4, "much"),
    Kind("ends", 2, "say", {"max_runs": 40}),
    Kind("gives-up", 2, "fail", {"pause_after": 3}),
    Kind("child", 0, "say", {"after": "[[two]]", "overlap": "allow"}, alone=False),
    Kind("grandchild", 0, "say", {"after": "[[child]]"}),
    Kind("mourner", 0, "say", {"after": "[[fails]] [[is-left]] [[stays]]", "after_outcome": "failure"}),
    Kind("follower", 0, "say", {"after": "[[queues]] [[asks]] [[python]]", "after_outcome": "any", "overlap": "queue"}),
    Kind("watches", 0, "say", {"on_change": '"Inbox/**"', "debounce": "1s"}),
)


def build(folder: Path) -> World:
    """A vault with all of these tasks; its daemon is not started yet."""
    folder.mkdir(parents=True)
    world = World(folder, SETTINGS)
    (world.outside / "pids").mkdir()
    attempt = world.outside / "attempt.sh"
    attempt.write_text(ATTEMPT.format(outside=world.outside))
    scripts = world.vault / "00_system" / "scripts"
    scripts.mkdir()
    (scripts / "marks.py").write_text(PYTHON.replace("{outside}", str(world.outside)))
    for name in ("Inbox", "Out"):
        (world.vault / name).mkdir()
    (world.vault / "Out" / "headed.md").write_text("Mine.\n\n## Results\n\n## Else\nAlso mine.\n")
    for kind in KINDS:
        (world.tasks / f"{kind.name}.md").write_text(kind.note(attempt))
    return world
