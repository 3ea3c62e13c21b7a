"""`soar playbook backtest`: what another version of a playbook would have done in incidents that are on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import Field

from soar.actions.registry import definitions
from soar.model.base import Fact, UtcTime
from soar.playbook.match import correlation_key, matches
from soar.playbook.policy import Policy
from soar.playtest.server import test_server_binary
from soar.rehearse.answers import Answers
from soar.rehearse.compare import Row, Verdict, compare, status_now
from soar.rehearse.outcome import DryRun, read_dry_run
from soar.rehearse.prepare import Subject, throwaway_settings
from soar.rehearse.record import Record, load_record
from soar.rehearse.stage import DryRunFailed, Ledger, Stage, open_stage
from soar.store import Store

__all__ = ["Backtest", "NoSuchIncident", "backtest", "incidents_of"]

_PAGE = 200


class NoSuchIncident(LookupError):
    """There is no incident of this id in the store."""


class Backtest(Fact):
    """One incident, then and now.

    Args:
        playbook: That answered it.
        version_was: The digest of its version then.
        status_was: How it ended, in words.
        rows: Step by step.
        notes: What has to be known about the comparison.
        error: Why it could not be played; empty: it was.
    """

    incident_id: str
    title: str
    opened_at: UtcTime
    playbook: str
    version_was: str
    version_now: str
    status_was: str
    status_now: str = ""
    automatic: int = Field(default=0, ge=0, description="changes that would be made without asking")
    approved: int = Field(default=0, ge=0, description="changes that would be made after an approval")
    forbidden: int = Field(default=0, ge=0)
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""

    def count(self, verdict: Verdict) -> int:
        """How many steps stand so."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def differs(self) -> bool:
        """Whether anything would have been otherwise, as far as it is known."""
        return any(row.verdict in ("changed", "new", "gone") for row in self.rows)


async def incidents_of(store: Store, playbook: str, *, since: timedelta, limit: int) -> list[str]:
    """The ended incidents of a playbook, the latest first.

    Args:
        since: How long ago they opened, at most.
        limit: How many at most.
    """
    earliest, found = datetime.now(UTC) - since, list[str]()
    before = ""
    while page := await store.incidents(limit=_PAGE, before=before):
        for summary in page:
            if summary.opened_at < earliest or len(found) == limit:
                return found
            if summary.playbook == playbook and summary.status.ended:
                found.append(summary.id)
        before = page[-1].id
    return found


async def backtest(
    subject: Subject,
    store: Store,
    incidents: Sequence[str],
    policy: Policy | None,
    *,
    timeout: float = 120,
    done: Callable[[Backtest], None] = lambda _result: None,
) -> list[Backtest]:
    """Play incidents again, dry, from their records.

    Args:
        subject: The version of the playbook that is tried.
        store: Is only read.
        incidents: Their ids.
        policy: What decides.
        timeout: Seconds that one incident may really take.
        done: Told each result as it comes.

    Raises:
        NoSuchIncident: An id is wrong.
        TestServerMissing, SettingsError, StoreUnavailable: Nothing can be played, with what to do.
    """
    test_server_binary()
    results: list[Backtest] = []
    async for result in _results(subject, await _records(store, incidents), policy, timeout):
        results.append(result)
        done(result)
    return results


async def _records(store: Store, incidents: Sequence[str]) -> list[Record]:
    found = []
    for incident_id in dict.fromkeys(incidents):
        record = await load_record(store, incident_id)
        if record is None:
            raise NoSuchIncident(f"there is no incident {incident_id}")
        found.append(record)
    return found


async def _results(
    subject: Subject, records: Sequence[Record], policy: Policy | None, timeout: float
) -> AsyncIterator[Backtest]:
    ledger = Ledger(policy)
    answers = Answers(ledger)
    known = list((await asyncio.to_thread(definitions)).values())
    with throwaway_settings() as settings:
        async with open_stage(settings, ledger, lambda _core: answers.activities(known)) as stage:
            for record in records:
                yield await _again(subject, record, stage, answers, timeout)


async def _again(
    subject: Subject, record: Record, stage: Stage, answers: Answers, timeout: float
) -> Backtest:
    opened = record.opened
    empty = Backtest(
        incident_id=opened.incident_id,
        title=opened.title,
        opened_at=record.opened_at,
        playbook=opened.playbook,
        version_was=opened.playbook_digest,
        version_now=subject.loaded.digest,
        status_was=record.status.value.replace("_", " "),
    )
    run: DryRun | None = None
    refusal = _not_answered(subject, record)
    notes = [refusal] if refusal else list(_to_be_known(subject, record))
    if not refusal:
        answers.of(record)
        stage.ledger.clear()
        start = subject.start(opened.incident_id, record.alerts, inputs=record.inputs)
        try:
            await stage.rehearse(start, record.alerts, timeout=timeout)
        except DryRunFailed as error:
            return empty.model_copy(update={"error": str(error), "notes": tuple(notes)})
        run = read_dry_run(stage.ledger, opened.incident_id, subject.name, subject.graph, live=False)
        if answers.by_step:
            names = ", ".join(dict.fromkeys(answers.by_step))
            notes.append(f"answered because step and action are the same, not what was asked: {names}")
    return empty.model_copy(
        update={
            "status_now": status_now(run),
            "automatic": run.automatic if run else 0,
            "approved": run.approved if run else 0,
            "forbidden": run.count("forbidden") if run else 0,
            "rows": tuple(compare(record, run)),
            "notes": tuple(notes),
        }
    )


def _not_answered(subject: Subject, record: Record) -> str:
    """Why this version would not have answered the incident's alert; empty: it would have."""
    if not record.alerts:
        return "it would not be answered: the record has no alert from before its first step"
    playbook = subject.loaded.playbook
    if playbook.match is None or record.opened.parent:
        return ""
    match = matches(playbook, record.alerts[0])
    return "" if match.matched else f"it would not be answered: {'; '.join(match.reasons)}"


def _to_be_known(subject: Subject, record: Record) -> Iterator[str]:
    """What a reader of the comparison has to know."""
    opened, playbook = record.opened, subject.loaded.playbook
    if record.inputs is None and playbook.inputs and not subject.chosen:
        yield "the inputs are those in force now; the record does not say with which ones it ran"
    if opened.parent:
        yield f"it was called by {opened.parent}"
    elif playbook.match is not None:
        key = correlation_key(playbook, record.alerts[0])
        if key != opened.correlation_key:
            yield f"it would have another correlation key: {opened.correlation_key} → {key}"
    if opened.playbook != subject.name:
        yield f"it was an incident of {opened.playbook}"
    if record.later:
        yield f"{record.later} alert(s) that came after its first step are left out"
