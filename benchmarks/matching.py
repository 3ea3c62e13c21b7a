"""What it costs to find the playbooks that answer an alert, beside comparing it with every one of them.

A library of playbooks, each for two rules of its own, and alerts of which each is answered by one. The baseline
compares every alert with the `match` of every playbook, as an explanation to people does. Read the ratio: index
divided by baseline.

Usage: python benchmarks/matching.py [PLAYBOOKS] [ALERTS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from soar.model.alert import Alert
from soar.model.terms import Severity
from soar.playbook.library import Library
from soar.playbook.loader import load_playbook
from soar.playbook.match import matches


def library(count: int) -> Library:
    """Playbooks of which each answers rules of its own."""
    return Library(
        load_playbook(
            f"name: p{n}\nmatch: {{source: guardduty, severity: medium, rule: ['Family{n}:EC2/*', 'Rule{n}']}}\n"
            "correlate_by: [alert.uid]\nlessons_learned:\n  - {id: report, do: report.write}\n",
            file=f"p{n}.yaml",
        )
        for n in range(count)
    )


def alerts(count: int, playbooks: int) -> list[Alert]:
    """Alerts, each answered by one playbook."""
    now = datetime.now(UTC)
    return [
        Alert(
            source="guardduty",
            uid=str(n),
            title="t",
            severity=Severity.HIGH,
            rule=f"Family{n % playbooks}:EC2/Mining",
            time=now,
        )
        for n in range(count)
    ]


def seconds(work: Callable[[Alert], int], each: Sequence[Alert]) -> float:
    """How long some work takes for each alert; it must find one playbook."""
    began = time.perf_counter()
    for alert in each:
        if work(alert) != 1:
            raise SystemExit(f"{alert.rule} is answered by {work(alert)} playbooks instead of one")
    return (time.perf_counter() - began) / len(each)


def main() -> None:
    """Run both and print the ratio."""
    playbooks = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    known = library(playbooks)
    every = [loaded.playbook for loaded in known]
    sample = alerts(count, playbooks)
    fast = seconds(lambda alert: len(known.find(alert)), sample)
    # The baseline takes a while for each; a few hundred say as much.
    slow = seconds(lambda alert: sum(matches(p, alert).matched for p in every), sample[:200])
    print(f"{playbooks} playbooks, {count} alerts")
    print(f"index     {fast * 1e6:9.1f} µs for each alert")
    print(f"baseline  {slow * 1e6:9.1f} µs for each alert")
    print(f"ratio     {fast / slow:9.4f}")


if __name__ == "__main__":
    main()
