"""The kill switch by REST, and what the console shows of it."""

from __future__ import annotations

import pytest
from web_world import HTML, TOKEN, World

from soar.playbook.diagnostics import PlaybookError
from soar.store import StoreUnavailable

BEARER = {"authorization": f"Bearer {TOKEN}"}
OTHER = {"authorization": "Bearer maya-token"}
HOSTILE = "NUL \x00 <script>alert(1)</script> bidi \u202e"


@pytest.fixture
def commander(world: World) -> World:
    """Irene may decide; Maya may not."""
    world.roster[0] = world.roster[0].model_copy(update={"roles": ("incident-commander",)})
    return world


async def test_changes_are_halted_and_lifted_and_it_stays_on_record(commander: World) -> None:
    http = commander.http
    reply = await http.post("/api/v1/halt", json={"reason": " it is us "}, headers=BEARER)
    assert (reply.status_code, reply.json()["accepted"]) == (200, True)
    assert "changes are halted" in reply.json()["message"]
    again = await http.post("/api/v1/halt", json={"reason": "once more"}, headers=BEARER)
    assert "halted by Irene" in again.json()["message"]
    # Whoever has a token sees it.
    state = (await http.get("/api/v1/halt", headers=OTHER)).json()
    assert (state["halt"]["by"], state["halt"]["reason"]) == ("Irene", "it is us")
    lifted = await http.post("/api/v1/halt/lift", json={"reason": "solved"}, headers=BEARER)
    assert "the halt by Irene is lifted" in lifted.json()["message"]
    lifted = await http.post("/api/v1/halt/lift", json={"reason": "solved"}, headers=BEARER)
    assert lifted.json() == {"accepted": True, "message": "nothing was halted"}
    state = (await http.get("/api/v1/halt", headers=BEARER)).json()
    assert state["halt"] is None
    [record] = state["history"]
    assert (record["responder_id"], record["lifted_by"], record["lift_reason"]) == (
        "irene",
        "irene",
        "solved",
    )


async def test_only_who_may_decide_halts_and_lifts(commander: World) -> None:
    for path in ("/api/v1/halt", "/api/v1/halt/lift"):
        reply = await commander.http.post(path, json={"reason": "r"}, headers=OTHER)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "refused")
        assert "takes the role incident-commander; yours: developer" in reply.json()["error"]["message"]
        assert (await commander.http.post(path, json={"reason": "r"})).status_code == 401
    assert (await commander.http.get("/api/v1/halt")).status_code == 401
    assert await commander.store.halts() == []


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " \n "}, {"reason": "x" * 2001}])
async def test_a_halt_takes_a_reason(commander: World, body: dict[str, str]) -> None:
    for path in ("/api/v1/halt", "/api/v1/halt/lift"):
        reply = await commander.http.post(path, json=body, headers=BEARER)
        assert (reply.status_code, reply.json()["error"]["field"]) == (422, "body.reason")
    assert await commander.store.halts() == []


async def test_every_page_says_that_changes_are_halted(commander: World) -> None:
    await commander.log_in()
    pages = ("/", "/alerts", "/playbooks", "/actions")
    for path in pages:
        assert "Changes are halted" not in (await commander.http.get(path, headers=HTML)).text
    await commander.http.post("/api/v1/halt", json={"reason": HOSTILE}, headers=BEARER)
    for path in pages:
        shown = (await commander.http.get(path, headers=HTML)).text
        assert "Changes are halted by Irene since" in shown
        assert "<script>alert" not in shown
        assert "\u202e" not in shown
    await commander.http.post("/api/v1/halt/lift", json={"reason": "solved"}, headers=BEARER)
    assert "Changes are halted" not in (await commander.http.get("/", headers=HTML)).text


async def test_a_halt_that_cannot_be_kept_is_not_acknowledged(
    commander: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_args: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(commander.store, "halt", gone)
    reply = await commander.http.post("/api/v1/halt", json={"reason": "r"}, headers=BEARER)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "store_unavailable")


async def test_a_broken_policy_lets_nobody_in(commander: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise PlaybookError([])

    monkeypatch.setitem(commander.services.__dict__, "policy", broken)
    reply = await commander.http.post("/api/v1/halt", json={"reason": "r"}, headers=BEARER)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "policy_broken")
