"""The index finds every playbook that answers an alert: looking at each of them finds the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soar.model.alert import Alert, Resource
from soar.model.terms import Severity
from soar.playbook.index import MatchIndex
from soar.playbook.library import Library
from soar.playbook.loader import LoadedPlaybook, load_playbook

SOURCES = ("guardduty", "splunk")
TYPES = ("aws.s3.bucket", "aws.iam.user")
globs = st.lists(st.text("ab:*?[]!", min_size=1, max_size=5).filter(str.strip), min_size=1, max_size=3)
conditions: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "source": st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2),
        "rule": globs,
        "severity": st.sampled_from(["low", "high", "critical"]),
        "resource_type": st.lists(st.sampled_from([*TYPES, "aws.*"]), min_size=1, max_size=2),
        "where": st.sampled_from(["alert.severity == 4", "alert.rule == 'a'", "alert.nothing.there == 1"]),
        "fallback": st.just(True),
    },
).filter(bool)
alerts = st.builds(
    Alert,
    source=st.sampled_from(SOURCES),
    uid=st.just("1"),
    title=st.just("t"),
    severity=st.sampled_from(list(Severity)),
    rule=st.text("ab:[]!", max_size=5),
    time=st.just(datetime(2026, 11, 1, tzinfo=UTC)),
    resources=st.lists(st.sampled_from(TYPES), max_size=2).map(
        lambda types: tuple(Resource(uid="u", type=one, name="n") for one in types)
    ),
)


def playbook(number: int, match: dict[str, Any]) -> LoadedPlaybook:
    return load_playbook(
        f"name: p{number}\nmatch: {json.dumps(match)}\ncorrelate_by: [alert.uid]\n"
        "lessons_learned:\n  - {id: report, do: report.write}\n",
        file=f"p{number}.yaml",
    )


@given(st.lists(conditions, max_size=8), alerts)
def test_the_index_loses_no_playbook_that_answers(matches: list[dict[str, Any]], alert: Alert) -> None:
    library = Library([playbook(number, match) for number, match in enumerate(matches)])
    looked_at = [loaded.playbook.name for loaded, result in library.explain(alert) if result.matched]
    assert [loaded.playbook.name for loaded in library.find(alert)] == looked_at


def test_an_alert_is_compared_with_few_of_many_playbooks() -> None:
    many = [
        playbook(n, {"source": "guardduty", "rule": [f"Family{n}:EC2/*", f"Other{n}"]}).playbook
        for n in range(200)
    ]
    others = [playbook(n, {"source": "splunk"}).playbook for n in range(200, 300)]
    called = load_playbook(
        "name: called\nlessons_learned:\n  - {id: report, do: report.write}\n", file="called.yaml"
    )
    index = MatchIndex([*many, *others, called.playbook])
    found = Alert(
        source="guardduty", uid="1", title="t", severity=Severity.HIGH, rule="Family17:EC2/Mining", time=NOW
    )
    assert index.candidates(found) == [17]
    assert index.candidates(found.model_copy(update={"rule": "Other3"})) == [3]
    assert index.candidates(found.model_copy(update={"rule": "Other"})) == []


NOW = datetime(2026, 11, 1, tzinfo=UTC)
