"""Which playbooks can answer an alert at all, found without looking at each of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from soar.model.alert import Alert
from soar.playbook.schema import Match, Playbook

__all__ = ["MatchIndex"]

_SPECIAL = re.compile(r"[*?\[]")
"""What makes a text a glob for `fnmatch`."""


class MatchIndex:
    """The `match` of many playbooks, by what they ask of an alert.

    Each playbook stands once, under the narrowest thing that it asks: its rules, else its sources, else nothing. A rule
    without wildcards is looked up as it is; a glob under the text before its first wildcard, which is looked up for
    every beginning of the alert's rule. So the cost of an alert grows with the length of its rule and with how many
    playbooks can answer it, not with how many there are.

    Args:
        playbooks: What `candidates` gives are their numbers in this order. Those that answer no alerts are left out.
    """

    def __init__(self, playbooks: Iterable[Playbook]) -> None:
        self._matches: dict[int, Match] = {}
        self._by_rule: defaultdict[str, set[int]] = defaultdict(set)
        self._by_beginning: defaultdict[str, set[int]] = defaultdict(set)
        self._by_source: defaultdict[str, set[int]] = defaultdict(set)
        self._anything: set[int] = set()
        for number, playbook in enumerate(playbooks):
            if playbook.match is not None:
                self._matches[number] = playbook.match
                self._add(number, playbook.match)

    def _add(self, number: int, match: Match) -> None:
        for rule in match.rule or ():
            wildcard = _SPECIAL.search(rule)
            if wildcard is None:
                self._by_rule[rule].add(number)
            else:
                self._by_beginning[rule[: wildcard.start()]].add(number)
        if match.rule is None:
            for source in match.source or ():
                self._by_source[source].add(number)
            if match.source is None:
                self._anything.add(number)

    def candidates(self, alert: Alert) -> list[int]:
        """The playbooks that can answer an alert, in order.

        Returns:
            All that do answer it, and few others: their globs, `resource_type` and `where` are not looked at here.
        """
        found: set[int] = set().union(*self._sets(alert))
        return sorted(number for number in found if self._fits(self._matches[number], alert))

    def _sets(self, alert: Alert) -> Iterator[set[int]]:
        yield self._anything
        yield self._by_source.get(alert.source, set())
        yield self._by_rule.get(alert.rule, set())
        for length in range(len(alert.rule) + 1):
            yield self._by_beginning.get(alert.rule[:length], set())

    @staticmethod
    def _fits(match: Match, alert: Alert) -> bool:
        return (match.source is None or alert.source in match.source) and (
            match.severity is None or alert.severity >= match.severity
        )
