"""The Obsidian Base beside the tasks: a table of all of them, and the switches to run, pause and answer them.

Written once by `init`; from then on it is the user's. Syntax: Obsidian's help, "Bases syntax" (1.9 and newer). Dates
go through `date(…)`, because a property that nobody has typed yet is text, and are told by `.relative()`.
"""

from __future__ import annotations

NAME = "tasks.base"

_BASE = """\
# The tasks of this vault, for Obsidian 1.9 and newer. Tick `Run now`, or change `Status`, in the table itself.
# It was written once and is yours: vault-sched never changes it.
filters:
  and:
    - file.inFolder("{system}/tasks")
    - file.ext == "md"
formulas:
  light: >-
    if(question, "❓",
    if(status == "paused" || status == "stopped", "⏸️",
    if(status == "done", "🏁",
    if(last_status == "success", "🟢",
    if(last_status, "🔴", "⚪")))))
  next: 'if(next_run, date(next_run).relative(), "")'
  last: 'if(last_run, date(last_run).relative(), "never")'
  overdue: 'if(next_run, if(date(next_run) < now() - "1h", "⚠️ overdue", ""), "")'
properties:
  formula.light:
    displayName: " "
  file.name:
    displayName: Task
  type:
    displayName: Type
  status:
    displayName: Status
  run_now:
    displayName: Run now
  formula.next:
    displayName: Next run
  formula.last:
    displayName: Last run
  last_status:
    displayName: Last outcome
  formula.overdue:
    displayName: Overdue
  status_reason:
    displayName: Why
  question:
    displayName: Question
  answer:
    displayName: Answer
views:
  - type: table
    name: All tasks
    order: [formula.light, file.name, type, status, run_now, formula.next, formula.last, last_status,
            formula.overdue, status_reason]
    sort:
      - property: next_run
        direction: ASC
  - type: table
    name: Failing
    filters:
      or:
        - last_status == "failure"
        - last_status == "timeout"
        - last_status == "abandoned"
        - last_status == "blocked"
        - status_reason
    order: [formula.light, file.name, last_status, formula.last, status_reason, run_now, status]
    sort:
      - property: last_run
        direction: DESC
  - type: table
    name: Due today
    filters:
      and:
        - next_run
        - date(next_run).date() == today()
    order: [formula.light, file.name, next_run, type, formula.last, run_now]
    sort:
      - property: next_run
        direction: ASC
  - type: table
    name: Overdue
    filters:
      and:
        - next_run
        - date(next_run) < now() - "1h"
    order: [formula.light, file.name, formula.next, formula.overdue, formula.last]
  - type: table
    name: Questions
    filters:
      and:
        - question
    order: [file.name, question, answer, formula.last]
  - type: table
    name: By type
    groupBy:
      property: type
      direction: ASC
    order: [formula.light, file.name, status, formula.next, formula.last, last_status]
"""


def control_panel(system_folder: str) -> str:
    """The text of the Base for a vault whose tasks lie below this folder."""
    return _BASE.replace("{system}", system_folder.replace('"', '\\"'))
