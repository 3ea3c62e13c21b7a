"""`soar halt`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from web_world import World

from soar.cli.exit_codes import ExitCode


def test_halt_status_and_lift(soar: Any, server: World) -> None:
    server.roster[0] = server.roster[0].model_copy(update={"roles": ("incident-commander",)})
    assert "no" in soar("halt", "--status")[1]
    code, _, err = soar("halt", "--reason", "it is \x1b[31mus")
    assert (code, "changes are halted" in err) == (0, True)
    code, out, _ = soar("halt", "--status")
    assert (code, "yes, by Irene since" in out, "\x1b" in out) == (0, True, False)
    state = json.loads(soar("halt", "--status", "--json")[1])
    assert (state["halt"]["by"], len(state["history"])) == ("Irene", 1)
    code, _, err = soar("halt", "--lift", "--reason", "solved")
    assert (code, "is lifted" in err) == (0, True)
    out = soar("halt", "--status")[1]
    assert ("solved" in out, json.loads(soar("halt", "--status", "--json")[1])["halt"]) == (True, None)


def test_who_may_not_decide_may_not_halt(soar: Any, server: World) -> None:
    code, _, err = soar("halt", "--reason", "r")
    assert (code, "takes the role incident-commander" in err) == (ExitCode.NOT_PERMITTED, True)
    assert json.loads(soar("halt", "--status", "--json")[1]) == {"halt": None, "history": []}


@pytest.mark.parametrize(
    "arguments",
    [[], ["--lift"], ["--reason", " "], ["--status", "--lift"], ["--status", "--reason", "r"], ["--json"]],
)
def test_wrong_usage_changes_nothing(soar: Any, server: World, arguments: list[str]) -> None:
    code, _, err = soar("halt", *arguments)
    assert (code, "--status" in err) == (ExitCode.USAGE, True)
    assert json.loads(soar("halt", "--status", "--json")[1])["history"] == []
