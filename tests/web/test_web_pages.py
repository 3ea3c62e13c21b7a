"""What the pages show: an attacker's text as text only, the record's truth, lists with filters and pages."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import update
from web_world import HTML, START, World, busy, chain, opened, web_world

from soar.actions.registry import catalogue
from soar.model.events import NoteAdded
from soar.store import AlertRow, tables

HOSTILE = (
    "</code></td><script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)> "
    "{{ 7*7 }} {% raw %} javascript:alert(4) \u202egnp.exe\u2066 \u200b NUL\ufffd 🔥 ' onfocus='x"
)


class Shape(HTMLParser):
    """Which elements a page has, with the names of their attributes, and where they lead."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.targets: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.targets += [v or "" for name, v in attrs if name in ("href", "src", "action", "formaction")]

    def handle_data(self, data: str) -> None:
        self.text += data


def alert_row(key: str, text: str, status: str, seconds: int = 0) -> AlertRow:
    return AlertRow.model_validate(
        {
            "id": key,
            "source": "test",
            "uid": text,
            "title": text,
            "severity": 4,
            "received_at": START + timedelta(seconds=seconds),
            "status": status,
            "playbook": text,
            "reason": text,
            "field": text,
            "raw_digest": "a" * 64,
        }
    )


@pytest.mark.parametrize(
    "path", ["/", "/incidents/INC-1", "/incidents/INC-1/timeline", "/incidents/INC-1/undo", "/alerts"]
)
async def test_an_attackers_text_is_only_ever_text(world: World, path: str) -> None:
    """The page of a hostile incident has the very elements and attributes of the page of a harmless one."""
    await world.log_in()
    shapes = []
    for number, text in (("1", HOSTILE), ("2", "harmless")):
        await world.store.project(busy(f"INC-{number}", text, approval=f"apr_{number}"))
        await world.store.save_alert(alert_row(f"k{number}", text, "unmatched"))
    for number in "12":
        one = path.replace("INC-1", f"INC-{number}")
        shapes.append(Shape((await world.http.get(one, headers=HTML)).text))
    hostile, harmless = shapes
    assert hostile.elements == harmless.elements
    assert all(target.startswith(("/", "#")) for target in hostile.targets)
    assert not [a for _, names in hostile.elements for a in names if a.startswith("on") or a == "style"]
    scripts = [names for tag, names in hostile.elements if tag == "script"]
    assert scripts == [("src", "defer")]
    assert "<script>alert(1)</script>" in hostile.text
    assert "{{ 7*7 }}" in hostile.text
    for hidden in "\u202e\u2066\u200b":
        assert hidden not in hostile.text
    assert "⟨U+202E⟩gnp.exe" in hostile.text


async def test_errors_and_the_login_repeat_nothing_as_html(world: World) -> None:
    for path in (f"/login?next={HOSTILE}", "/<script>alert(1)</script>", f"/?status={HOSTILE}"):
        page = (await world.http.get(path, headers=HTML)).text
        assert "<script>alert" not in page
    await world.log_in()
    reply = await world.http.get("/incidents/<img src=x onerror=alert(1)>", headers=HTML)
    assert reply.status_code == 404
    assert "img" not in [tag for tag, _ in Shape(reply.text).elements]


async def test_an_approval_is_shown_whole(world: World) -> None:
    await world.store.project(busy(text="zebra"))
    await world.log_in()
    page = Shape((await world.http.get("/incidents/INC-1")).text).text
    for words in (
        "Approval needed",
        "2 different people have",
        "priya",
        "0 of 2 needed",
        "Missing permission",
        "the earlier votes are void",
        "hash chain verified",
        "not contained",
        "How it is undone",
        "2.0 KiB",
    ):
        assert words in page
    assert "Retry" in page


async def test_who_may_not_decide_is_told_why_and_has_no_buttons(world: World) -> None:
    await world.store.project(busy())
    await world.log_in("maya-token")
    page = (await world.http.get("/incidents/INC-1")).text
    assert "this takes the role responder; yours: developer" in page
    assert 'name="decision"' not in page


@pytest.mark.parametrize("seq", [3, 15])
async def test_a_changed_record_is_shown_as_broken(world: World, seq: int) -> None:
    entries = busy()
    await world.store.project(entries)
    await world.log_in()
    assert "hash chain verified" in (await world.http.get("/incidents/INC-1")).text
    forged = entries[seq - 1].model_copy(update={"summary": "nothing happened"}).model_dump(mode="json")
    table = tables.timeline
    async with world.store._database.writing() as connection:
        where = (table.c.incident_id == "INC-1") & (table.c.seq == seq)
        await connection.execute(update(table).where(where).values(entry=forged))
    for path in ("/incidents/INC-1", "/incidents/INC-1/timeline"):
        page = (await world.http.get(path)).text
        assert "hash chain verified" not in page
        assert f"broken at entry {seq}" in page


async def test_a_record_that_was_cut_short_is_shown_as_broken(world: World) -> None:
    entries = busy()
    await world.store.project(entries)
    await world.log_in()
    table = tables.timeline
    async with world.store._database.writing() as connection:
        await connection.execute(table.delete().where(table.c.seq == len(entries)))
    assert "the timeline ends at entry" in (await world.http.get("/incidents/INC-1")).text


async def test_a_long_timeline_is_shown_and_checked_on_its_own_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = [(NoteAdded(text="n"), f"note {i}") for i in range(150)]
    await world.store.project(chain("INC-1", opened("INC-1", "long"), *notes))
    await world.log_in()
    page = (await world.http.get("/incidents/INC-1")).text
    assert "The whole timeline (151 entries)" in page
    assert "note 149" in page
    assert "note 3 " not in page
    monkeypatch.setattr("soar.web.console.MAX_CHECKED", 120)
    page = (await world.http.get("/incidents/INC-1")).text
    assert "not checked on this page" in page
    assert "note 149" in page
    page = (await world.http.get("/incidents/INC-1/timeline")).text
    assert "note 3 " in page
    assert "hash chain verified" in page


async def test_lists_have_filters_and_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soar.web.console.PER_PAGE", 2)
    for number in range(5):
        await world.store.project(chain(f"INC-{number}", opened(f"INC-{number}", f"title {number}")))
        await world.store.save_alert(alert_row(f"k{number}", f"alert {number}", "unmatched", number))
    await world.store.save_alert(alert_row("bad", "broken one", "invalid"))
    await world.log_in()
    for base, word, seen in (("/", "title", "open"), ("/alerts", "alert", "unmatched")):
        path, found = f"{base}?status={seen}", ""
        for _ in range(3):
            page = Shape((await world.http.get(path)).text)
            found += page.text
            path = next((t for t in page.targets if "before=" in t), "")
        assert path == ""
        assert [found.count(f"{word} {n}") > 0 for n in range(5)] == [True] * 5
    assert "title 1" not in (await world.http.get("/?status=closed")).text
    assert "broken one" in (await world.http.get("/alerts?status=invalid")).text
    assert (await world.http.get("/?status=none", headers=HTML)).status_code == 422
    assert (await world.http.get("/?before=unknown")).status_code == 200


async def test_playbooks_and_actions_are_listed(world: World) -> None:
    await world.log_in()
    page = (await world.http.get("/playbooks")).text
    assert all(loaded.playbook.name in page for loaded in world.services.library)
    page = (await world.http.get("/actions")).text
    assert all(name in page for name in world.services.catalogue)


async def test_before_an_undo_everything_that_it_touches_is_shown(world: World) -> None:
    entries = busy()
    await world.store.project(entries)
    await world.log_in()
    page = (await world.http.get("/incidents/INC-1/undo?step=done")).text
    assert "Put this change back?" in page
    assert 'name="step_id" value="done"' in page
    assert "Begin the undo" in page
    for nothing in ("?step=s", "?phase=recovery"):
        page = (await world.http.get(f"/incidents/INC-1/undo{nothing}")).text
        assert "nothing of ours in place" in page
        assert "Begin the undo" not in page


async def test_what_cannot_be_put_back_has_no_button(tmp_path: Path) -> None:
    name = "aws.iam.deactivate_access_key"
    fixed = {name: catalogue()[name].model_copy(update={"undoable": False})}
    async with web_world(tmp_path, catalogue=fixed) as world:
        await world.store.project(busy())
        await world.log_in()
        assert "undo?step=done" not in (await world.http.get("/incidents/INC-1")).text
        page = (await world.http.get("/incidents/INC-1/undo")).text
        assert "1 of them cannot be put back" in page
        assert "Begin the undo" not in page
