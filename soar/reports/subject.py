"""What the incident is about: alerts, techniques, impact, indicators, evidence."""

from __future__ import annotations

from collections import Counter

from soar.model.alert import ObservableType
from soar.model.base import UtcTime
from soar.model.change import EvidenceRef
from soar.model.events import AlertJoined, EffectApplied, EffectUndone, StepSucceeded
from soar.model.timeline import TimelineEntry
from soar.reports.facts import Facts
from soar.reports.sections import AlertRow, EvidenceRow, Impact, ImpactResource, IndicatorRow, TechniqueRow

__all__ = ["detection", "evidence", "impact", "indicators", "techniques"]


def detection(facts: Facts) -> tuple[AlertRow, ...]:
    """Every alert that joined, in the order it did."""
    rows = []
    for entry, event in facts.of(AlertJoined):
        alert = event.alert
        rows.append(
            AlertRow(
                seq=entry.seq,
                time=alert.time,
                joined_at=entry.time,
                source=alert.source,
                uid=alert.uid,
                revision=alert.revision,
                state=alert.state,
                rule=alert.rule,
                title=alert.title,
                description=alert.description,
                severity=alert.severity.label,
                severity_original=alert.severity_original,
                account=alert.account,
                region=alert.region,
                resources=tuple(r.uid for r in alert.resources),
                principal=(alert.actor.name or alert.actor.uid) if alert.actor else "",
                first_seen=alert.first_seen,
                last_seen=alert.last_seen,
                links=alert.links,
                raw_digest=alert.raw.digest if alert.raw else None,
                after_containment=event.after_containment,
            )
        )
    return tuple(rows)


def techniques(facts: Facts) -> tuple[TechniqueRow, ...]:
    """The ATT&CK techniques that alerts name, by id."""
    found: dict[str, TechniqueRow] = {}
    for entry, event in facts.of(AlertJoined):
        for technique in event.alert.techniques:
            known = found.get(technique.uid)
            seqs = known.seqs if known else ()
            found[technique.uid] = TechniqueRow(
                uid=technique.uid,
                name=(known.name if known else "") or technique.name,
                tactic=(known.tactic if known else "") or technique.tactic,
                seqs=seqs if entry.seq in seqs else (*seqs, entry.seq),
            )
    return tuple(found[uid] for uid in sorted(found))


def indicators(facts: Facts) -> tuple[IndicatorRow, ...]:
    """The observables of all alerts, by type and value."""
    found: dict[tuple[ObservableType, str], list[int]] = {}
    for entry, event in facts.of(AlertJoined):
        for observable in event.alert.observables:
            seqs = found.setdefault((observable.type, observable.value), [])
            if entry.seq not in seqs:
                seqs.append(entry.seq)
    return tuple(
        IndicatorRow(type=type_, value=value, seqs=tuple(seqs))
        for (type_, value), seqs in sorted(found.items())
    )


def impact(facts: Facts) -> Impact:
    """What alerts name and plans had as targets, counted."""
    found: dict[str, ImpactResource] = {}
    accounts, regions, principals = set(), set(), set()
    for _, event in facts.of(AlertJoined):
        alert = event.alert
        accounts.add(alert.account)
        regions.update({alert.region, *(r.region for r in alert.resources)})
        if alert.actor:
            principals.add(alert.actor.name or alert.actor.uid)
        for uid, resource in {r.uid: r for r in alert.resources}.items():
            known = found.get(uid)
            found[uid] = ImpactResource(
                uid=uid,
                type=resource.type,
                name=resource.name,
                account=alert.account,
                region=resource.region or alert.region,
                alerts=(known.alerts if known else 0) + 1,
                changed=False,
            )
    for layer in facts.layers:
        if layer.plan is None:
            continue
        for target in layer.plan.targets:
            account, region = target.account or layer.plan.account, target.region or layer.plan.region
            accounts.add(account)
            regions.add(region)
            known = found.get(target.uid)
            found[target.uid] = ImpactResource(
                uid=target.uid,
                type=known.type if known else target.type,
                name=known.name if known else target.name,
                account=known.account if known else account,
                region=known.region if known else region,
                alerts=known.alerts if known else 0,
                changed=True,
            )
    resources = tuple(found[uid] for uid in sorted(found))
    return Impact(
        accounts=tuple(sorted(accounts - {""})),
        regions=tuple(sorted(regions - {""})),
        principals=tuple(sorted(principals - {""})),
        resources=resources,
        resource_types=dict(sorted(Counter(r.type for r in resources).items())),
    )


def evidence(facts: Facts) -> tuple[EvidenceRow, ...]:
    """Everything in the vault that the timeline points to; the same piece is listed once per name."""
    rows: dict[tuple[str, str], EvidenceRow] = {}

    def add(row: EvidenceRow) -> None:
        rows.setdefault((row.digest, row.name), row)

    for entry, event in facts.events:
        references = list(entry.evidence)
        match event:
            case AlertJoined() if event.alert.raw is not None:
                raw = event.alert.raw
                name = f"{event.alert.source} payload"
                add(_row(entry, raw.digest, raw.size, "", name, event.alert.source, None))
            case StepSucceeded() | EffectApplied() | EffectUndone():
                references.extend(event.result.evidence)
        for ref in references:
            add(_referenced(entry, ref))
    return tuple(rows.values())


def _referenced(entry: TimelineEntry, ref: EvidenceRef) -> EvidenceRow:
    return _row(entry, ref.digest, ref.size, ref.media_type, ref.name, ref.source, ref.collected_at)


def _row(
    entry: TimelineEntry,
    digest: str,
    size: int,
    media_type: str,
    name: str,
    source: str,
    collected_at: UtcTime | None,
) -> EvidenceRow:
    return EvidenceRow(
        digest=digest,
        size=size,
        media_type=media_type,
        name=name,
        source=source,
        collected_at=collected_at,
        recorded_at=entry.time,
        seq=entry.seq,
    )
