"""What the scribe asks and tells: how a task's note stands, what we wrote, what is wrong, each problem told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from vault_scheduler.clock import Clock
from vault_scheduler.daemon.conversations import Questions
from vault_scheduler.daemon.note_change import FREQUENT, OURS, NoteView
from vault_scheduler.daemon.pen import Pace
from vault_scheduler.daemon.roster import Roster
from vault_scheduler.daemon.scribe import Scribe
from vault_scheduler.daemon.survey import Survey
from vault_scheduler.parsing.output_path import DAILY_NOTE
from vault_scheduler.planning.answers import answer_problem
from vault_scheduler.planning.planner import is_going
from vault_scheduler.planning.quota import QUOTA, clock_words
from vault_scheduler.planning.standing import State
from vault_scheduler.run import Run
from vault_scheduler.task import Problem, TaskType, fingerprint
from vault_scheduler.telling.summary import link_to, problem_line
from vault_scheduler.text.harmless import plain_line
from vault_scheduler.vault.vault import Written

QUESTION_LIMIT = 500
"""Characters of a question in the property; the run in the note has all of it."""


class NoteSurroundings:
    """Implements `note_writer.Surroundings` from what the survey and the roster know."""

    scribe: Scribe  # set once both are there: each needs the other
    also_wrote: Callable[[Written], None]  # likewise: told of every write

    def __init__(
        self,
        *,
        survey: Survey,
        roster: Roster,
        clock: Clock,
        host: str,
        runs_of: Callable[[str], list[Run]],
        questions: Questions,
        tell: Callable[[str, str, str], None],
    ) -> None:
        self._survey = survey
        self._roster = roster
        self._clock = clock
        self._host = host
        self._runs_of = runs_of
        self._questions = questions
        self._tell = tell
        self._passed: dict[str, Problem] = {}  # task id → that its time had passed before it was known
        self._answers: dict[str, Problem] = {}  # task id → why the answer in its note has not been taken
        self._told: set[str] = set()
        self._mark: object = None

    # for the scribe

    def note(self, task: str) -> NoteView | None:
        """The task's note; None if the task is gone."""
        tracked = self._roster.get(task)
        if tracked is None:
            return None
        row, question = self._roster.row(task), self._questions.of(task)
        schedule, fires = tracked.task.schedule, tracked.standing.armed
        next_run = schedule.next_after(max(row.watermark, self._clock.now())) if fires else None
        following = schedule.next_after(next_run) if next_run else None
        return NoteView(
            path=tracked.task.path,
            zone=ZoneInfo(self._survey.timezone),
            next_run=next_run,
            frequent=bool(next_run and following and following - next_run < FREQUENT),
            stands={key: self._survey.notes.value(tracked.task.path, key) for key in OURS},
            keep_runs=tracked.policies.keep_runs,
            untick=row.latched and tracked.task.run_now,
            busy=any(is_going(run) and run.reserved_usd for run in self._runs_of(task)),
            elsewhere=tracked.standing.state is State.OTHER_HOST,
            expects_run=bool(self._runs_of(task)),
            talks=tracked.task.type is TaskType.CLAUDE,
            rests=any(run.waiting_for == QUOTA for run in self._runs_of(task)),
            question=plain_line(question.text, QUESTION_LIMIT).replace("<%", "< %") if question else "",
            asked_by=question.run if question else "",
            taken=row.answered,
        )

    def quiet_s(self, path: str) -> float:
        """For how many seconds awake nobody but us has changed the note."""
        return self._survey.quiet_s(path, self._clock.monotonic())

    def knows(self, path: str, data: bytes) -> bool:
        """Whether the note as it is now has been seen."""
        return self._survey.knows(path, data)

    def wrote(self, written: Written) -> None:
        """The scribe changed a file."""
        self._survey.wrote(written)
        self.also_wrote(written)

    def report(self, path: str, message: str, fix: str) -> None:
        """A delivery met a problem."""
        problem = Problem(path=path, line=1, key="", message=message, fix=fix)
        self._tell("problem", path, str(problem))
        self.log_once(problem, self._clock.now())

    def pace(self) -> Pace:
        """How often notes may be written, and where the daily log goes."""
        settings = self._survey.settings_note.in_force
        return Pace(
            note_quiet_s=settings.note_quiet.total_seconds(),
            note_interval_s=settings.note_interval.total_seconds(),
            zone=ZoneInfo(self._survey.timezone),
            heading=settings.daily_log_heading if settings.daily_log_in == DAILY_NOTE else "",
            foreign_host="" if settings.host in (None, self._host) else self._host,
        )

    # problems

    def has_passed(self, task: str, path: str, which: str = "the time") -> None:
        """An instant of `at` had passed, too long ago to run it late, when it was first seen (rule 1.4)."""
        message = f"{which} has passed already, so it never runs"
        fix = "Write a time that is still to come, or `status: done`."
        line = self._survey.line_of(path, "at")
        self._passed[task] = Problem(path=path, line=line, key="at", message=message, fix=fix)

    def has_answer(self, task: str, path: str, why: str) -> None:
        """Why the `answer` in the note of a task has not been taken; "" if there is none."""
        if not why:
            return
        line = self._survey.line_of(path, "answer")
        self._answers[task] = answer_problem(path, line, why)

    def forget(self, task: str) -> None:
        """The task is looked at anew."""
        self._passed.pop(task, None)
        self._answers.pop(task, None)

    def problems(self) -> list[Problem]:
        """Everything wrong with the vault's notes now."""
        own = (*self._passed.values(), *self._answers.values())
        return [*self._survey.problems(), *own, *self._roster.aside.values()]

    @property
    def problems_mark(self) -> tuple[object, ...]:
        """Another one whenever the problems are others."""
        own = (self._passed, self._answers, self._roster.aside)
        return self._survey.problems_mark, *(tuple(found.items()) for found in own)

    def tell_problems(self, now: datetime) -> None:
        """Each problem once in the daily log, until it is gone."""
        if self.problems_mark == self._mark:
            return
        self._mark = self.problems_mark
        told = (problem for problem in self.problems() if problem.is_error or problem.key == "answer")
        current = {str(problem): problem for problem in told}
        for text, problem in current.items():
            if text not in self._told:
                self._tell("problem", problem.path, text)
                self.log_once(problem, now)
        self._told = set(current)

    def waits(self, run: Run) -> None:
        """A run waits for the plan's limits, or does so no more: for hours, so its note and the log tell it."""
        self.scribe.registered(run.task)
        if run.waiting_for != QUOTA or run.not_before is None:
            return
        zone = ZoneInfo(self._survey.timezone)
        until = clock_words(run.not_before, zone)
        text = f"⏳ {link_to(run.path, short=True)} waits for quota until {until}"
        self.scribe.log(
            f"w-{fingerprint([run.id, until])[:12]}", text, self._clock.now().astimezone(zone).strftime("%H:%M")
        )

    def log_once(self, problem: Problem, now: datetime) -> None:
        """A line in the daily log; the same one is not written twice a day."""
        local = now.astimezone(ZoneInfo(self._survey.timezone)).strftime("%H:%M")
        subject = f"{problem.key}: " if problem.key else ""
        text = problem_line(problem.path, problem.line, f"{subject}{problem.message}. {problem.fix}")
        self.scribe.log(f"p-{fingerprint(text)[:12]}", text, local)

    def log_fault(self, message: str, fix: str, now: datetime) -> None:
        """Something is wrong that no note of a task is to blame for: a line in the daily log."""
        self.log_once(Problem(path=self._survey.settings_path, line=1, key="", message=message, fix=fix), now)
