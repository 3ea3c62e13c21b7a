"""How tests of playbooks name the steps that they mean."""

from __future__ import annotations

import pytest

from soar.playtest.follow import fits


@pytest.mark.parametrize(
    ("step", "named", "meant"),
    [
        ("close", None, True),
        ("close", ["close"], True),
        ("close", ["open", "cl*"], True),
        ("close", ["open"], False),
        ("close[0]", ["close[0]"], True),
        ("close[1]", ["close[0]"], False),
        ("close[1]", ["close*"], True),
        ("close[1][12]", ["close[1][12]"], True),
        ("close[0]", ["close"], False),
    ],
)
def test_a_step_is_named_by_its_id_or_a_pattern(step: str, named: list[str] | None, meant: bool) -> None:
    assert fits(step, named) is meant
