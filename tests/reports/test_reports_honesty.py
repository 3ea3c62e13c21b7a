"""The report claims nothing that the record does not prove, and names all that went wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import build
import pytest

from soar.model.base import digest_of
from soar.model.change import EffectStatus
from soar.model.fold import fold
from soar.model.people import ApprovalStatus
from soar.model.terms import Phase
from soar.reports.model import Report, build_report
from soar.reports.render import render


def report(b: build.Builder, playbook_text: str | None = None) -> Report:
    return build_report(b.incident, b.entries, playbook_text=playbook_text)


def metric(r: Report, id_: str) -> int | None:
    return next(m for m in r.metrics if m.id == id_).milliseconds


def kinds(r: Report) -> set[str]:
    return {g.kind for g in r.gaps}


NOT_VERIFIED = [
    (build.denied, "not_contained", "denied"),
    (build.expired, "not_contained", "expired"),
    (build.missing_permission, "not_contained", "failed"),
    (lambda: build.missing_permission(decision=""), "not_contained", "unfinished"),
    (build.failed, "not_contained", "in_doubt"),
    (build.unverified, "not_contained", "not_verified"),
    (build.unproven, "unproven", "not_verified"),
    (build.running, "not_contained", "undecided"),
    (build.not_wanted, "not_wanted", "skipped"),
]


@pytest.mark.parametrize(("make", "state", "kind"), NOT_VERIFIED)
def test_without_proof_nothing_is_called_contained(
    make: Callable[[], build.Builder], state: str, kind: str
) -> None:
    r = report(make())
    assert r.summary.containment.state == state
    assert r.summary.containment.at is None
    assert metric(r, "contain") is None
    assert metric(r, "dwell") is None
    assert {kind, "not_contained"} <= kinds(r)
    for name, data in render(r).items():
        if name != "json":
            text = data.decode().lower()
            assert "containment was verified" not in text
            assert "contained at" not in text
            assert "not available: " in text


def test_happy_path_is_contained_and_measured_from_its_entries() -> None:
    r = report(build.happy())
    assert r.summary.containment.state == "verified"
    contain = next(m for m in r.metrics if m.id == "contain")
    by_seq = {row.seq: row for row in r.timeline}
    assert contain.from_seq is not None
    assert contain.to_seq is not None
    assert by_seq[contain.from_seq].kind == "alert.joined"
    assert by_seq[contain.to_seq].kind == "step.succeeded"
    assert contain.to_time == by_seq[contain.to_seq].time
    assert contain.from_time is not None
    assert contain.to_time is not None
    assert contain.milliseconds == (contain.to_time - contain.from_time) // timedelta(milliseconds=1)
    assert metric(r, "detect") == 45 * 60_000
    assert all(m.milliseconds is not None for m in r.metrics)
    assert kinds(r) == set()
    assert [e.status for e in r.effects] == [EffectStatus.VERIFIED]
    assert r.effects[0].approved_by == ("Dana Ortiz",)
    assert r.residual == (1,)
    assert r.cover.chain.verified
    assert r.cover.chain.head_hash == build.happy().entries[-1].hash


@pytest.mark.parametrize("make", [build.undone, build.undo_refused])
def test_what_was_put_back_is_not_claimed_to_hold(make: Callable[[], build.Builder]) -> None:
    r = report(make())
    assert r.summary.containment.state == "undone"
    assert r.summary.containment.reasons
    assert "not_contained" in kinds(r)
    assert metric(r, "contain") is not None  # it was so, once


def test_undone_effect_is_not_residual_and_refused_one_is() -> None:
    assert report(build.undone()).residual == ()
    refused = report(build.undo_refused())
    assert refused.residual == (1,)
    assert "undo_failed" in kinds(refused)
    inexact = report(build.undone(restored=False))
    assert "undo_failed" in kinds(inexact)


def test_drift_voids_the_first_approval_and_both_are_in_the_ledger() -> None:
    r = report(build.drifted())
    assert [a.status for a in r.approvals] == [ApprovalStatus.SUPERSEDED, ApprovalStatus.APPROVED]
    assert r.approvals[1].supersedes == "ap-1"
    first, second = r.approvals[0].shown, r.approvals[1].shown
    assert first is not None
    assert second is not None
    assert first.digest != second.digest
    assert first.digest_matches
    assert second.digest_matches
    assert "superseded" in kinds(r)


def test_denial_names_who_said_no_and_who_was_refused() -> None:
    r = report(build.denied())
    (approval,) = r.approvals
    assert [(v.name, v.decision.value, v.reason) for v in approval.votes] == [
        ("Dana Ortiz", "deny", "The release is running.")
    ]
    assert [x.responder for x in approval.refusals] == ["sam"]
    assert {"denied", "refused"} <= kinds(r)
    assert r.effects == ()


def test_missing_permission_is_named_and_the_person_who_decided() -> None:
    r = report(build.missing_permission())
    assert any("iam:UpdateAccessKey" in g.text for g in r.gaps)
    assert r.attention[0].decision == "skip"
    assert r.attention[0].decided_by == "Dana Ortiz"
    assert r.effects[0].status is EffectStatus.NOT_APPLIED
    assert r.residual == ()
    (point,) = r.summary.open_points
    assert "Done by hand" in point.text
    assert "The account refused" in point.text


def test_effect_in_doubt_may_be_in_place() -> None:
    r = report(build.failed())
    assert r.residual == (1,)
    assert any("may be in place" in s.text for s in r.summary.open_points)


def test_alert_after_containment_is_a_gap() -> None:
    b = build.happy()
    b.entries.pop()
    b.join(build.alert("again", uid="f0b2"), late=True)
    assert "late_alert" in kinds(report(b))


def test_broken_chain_leads_the_report() -> None:
    b = build.happy()
    incident = b.incident
    b.entries[5] = b.entries[5].model_copy(update={"summary": "nothing to see"})
    r = build_report(incident, b.entries)
    assert not r.cover.chain.verified
    assert "entry 6" in r.cover.chain.problem
    assert "does not verify" in r.summary.statements[0].text
    assert "chain" in kinds(r)
    assert "does NOT verify" in render(r)["html"].decode()


def test_entry_of_unknown_kind_is_named_and_the_rest_is_reported() -> None:
    b = build.happy()
    incident = b.incident
    b.entries[5] = b.entries[5].model_copy(update={"kind": "step.teleported"})
    r = build_report(incident, b.entries)
    assert [row.seq for row in r.timeline if not row.readable] == [6]
    assert any("step.teleported" in g.text for g in r.gaps)
    assert render(r)


def test_state_and_timeline_have_to_be_of_one_entry() -> None:
    b = build.happy()
    with pytest.raises(ValueError, match="read both again"):
        build_report(fold(b.entries[:-1]), b.entries)
    with pytest.raises(ValueError, match="no timeline"):
        build_report(b.incident, [])


def test_clocks_that_disagree_give_no_number() -> None:
    b = build.Builder().open(build.alert(first_seen=build.START))
    detect = next(m for m in report(b).metrics if m.id == "detect")
    assert detect.milliseconds is None
    assert "clocks disagree" in detect.why_missing


def test_unknown_first_activity_is_said() -> None:
    r = report(build.Builder().open(build.alert(first_seen=None)))
    assert metric(r, "detect") is None
    assert "no alert tells" in next(m for m in r.metrics if m.id == "dwell").why_missing


def test_playbook_without_containment_changes_claims_nothing() -> None:
    r = report(build.Builder().open(contains=()))
    assert r.summary.containment.state == "no_steps"


def test_step_already_as_wanted_counts_as_contained_without_a_change() -> None:
    b = build.Builder().open()
    b.begin(Phase.CONTAINMENT)
    b.plan("deactivate-key", build.key_plan(before="Inactive").model_copy(update={"changes": ()}))
    b.succeed("deactivate-key", changed=False)
    r = report(b)
    assert r.summary.containment.state == "verified"
    assert r.effects == ()


def test_second_change_of_a_step_is_listed_beside_the_first() -> None:
    b = build.Builder().open()
    b.begin(Phase.CONTAINMENT)
    plan = build.key_plan()
    b.plan("deactivate-key", plan)
    b.apply("deactivate-key", plan)
    b.verify("deactivate-key", verified=False)
    b.apply("deactivate-key", plan)
    b.verify("deactivate-key")
    b.succeed("deactivate-key")
    r = report(b)
    assert [e.status for e in r.effects] == [EffectStatus.UNVERIFIED, EffectStatus.VERIFIED]
    assert len(b.incident.residual) == len(r.residual) == 2


def test_playbook_text_is_checked_against_the_digest() -> None:
    assert report(build.happy(), build.PLAYBOOK_TEXT).appendix.playbook_text_matches is True
    assert report(build.happy(), "name: other").appendix.playbook_text_matches is False
    assert report(build.happy()).appendix.playbook_text_matches is None


def test_human_sections_print_not_provided() -> None:
    r = report(build.happy())
    assert {h.text for h in r.human} == {None}
    for name in ("html", "md"):
        assert render(r)[name].decode().count("Not provided.") == len(r.human)


def test_evidence_register_has_raw_payloads_and_collected_files_once() -> None:
    r = report(build.happy())
    assert [e.name for e in r.evidence] == [
        "guardduty payload",
        "cloudtrail.json",
        "last-use.json",
        "confirm.json",
    ]
    assert r.evidence[0].digest == digest_of(b"raw")
