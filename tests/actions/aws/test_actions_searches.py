"""Long searches: what is asked, how a try after a crash goes on, and what a cancelled one leaves behind."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from temporalio.exceptions import ApplicationError

from soar.actions.aws import athena_search, logs_insights
from soar.actions.errors import BadInput, Unavailable

sys.path.insert(0, str(Path(__file__).parent / "conformance"))
from cases_athena_search import Athena, event
from cases_logs_insights import Insights
from scripted import Scripted

ATHENA, LOGS = "aws.athena.query", "aws.logs.query"
SPAN = {"since": "2026-01-01T00:00:00Z", "until": "2026-07-01T00:00:00Z"}
ASKED = {"question": "access_key", "value": "AKIAIOSFODNN7EXAMPLE", "table": "cloudtrail_logs", **SPAN}
LOOKED_FOR = {
    "log_groups": ["/shop/frontend"],
    "where": [{"field": "client_ip", "value": "203.0.113.7"}],
    **SPAN,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other without seconds between them."""
    monkeypatch.setattr(athena_search, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(logs_insights, "LOOK_EVERY", 0.01)


@pytest.fixture
def athena(make_actions: Callable[..., Any]) -> Callable[..., tuple[Any, Athena]]:
    """Makes actions with an Athena in memory behind them."""

    def make(rows: int, *looks: str, **fields: Any) -> tuple[Any, Athena]:
        actions, service = make_actions(**fields), Scripted("athena")
        made = Athena(service, [event(n) for n in range(rows)], *looks)
        service.attach(actions.access._session.events)
        return actions, made

    return make


@pytest.fixture
def insights(make_actions: Callable[..., Any]) -> Callable[..., tuple[Any, Insights]]:
    """Makes actions with a Logs Insights in memory behind them."""

    def make(rows: int, *looks: str) -> tuple[Any, Insights]:
        actions, service = make_actions(), Scripted("logs")
        made = Insights(service, rows, *looks)
        service.attach(actions.access._session.events)
        return actions, made

    return make


async def test_no_value_is_in_the_text_of_the_query(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, service = athena(1)
    hostile = "203.0.113.7' OR '1'='1"
    found = await actions.read(ATHENA, **{**ASKED, "question": "source_ip", "value": hostile})
    (asked,) = service.asked.values()
    assert "203.0.113.7" not in asked["QueryString"]
    assert asked["QueryString"].count("?") == len(asked["ExecutionParameters"]) == 3
    assert asked["ExecutionParameters"] == [
        "'203.0.113.7'' OR ''1''=''1'",
        "'2026-01-01T00:00:00Z'",
        "'2026-07-01T00:00:00Z'",
    ]
    assert found.data["query"] == asked["QueryString"]
    assert 'FROM "default"."cloudtrail_logs"' in asked["QueryString"]


async def test_days_are_cut_off_where_the_table_has_them(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, service = athena(0, "SUCCEEDED")
    found = await actions.read(ATHENA, **ASKED, day_partition="timestamp", output="s3://results/here/")
    (asked,) = service.asked.values()
    assert 'AND "timestamp" >= ? AND "timestamp" <= ?' in asked["QueryString"]
    assert asked["ExecutionParameters"][-2:] == ["'2026/01/01'", "'2026/07/02'"]
    assert asked["ResultConfiguration"] == {"OutputLocation": "s3://results/here/"}
    assert found.data["events"] == 0
    assert found.data["cut"] is False
    assert found.data["first_seen"] == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"table": 'logs"; DROP TABLE x; --'},
        {"database": "a.b"},
        {"day_partition": "day = 1 OR true"},
        {"question": "anything"},
        {"output": "s3://bucket/../../x y"},
        {"until": "2025-01-01T00:00:00Z"},
        {"until": "9999-12-31T23:00:00Z"},
        {"limit": 100_000},
    ],
)
async def test_names_are_checked(athena: Callable[..., tuple[Any, Athena]], wrong: dict[str, Any]) -> None:
    actions, service = athena(1)
    with pytest.raises(ApplicationError) as caught:
        await actions.read(ATHENA, **{**ASKED, **wrong})
    assert caught.value.type == "BadInput"
    assert service.asked == {}


@given(st.text(min_size=1, max_size=60))
def test_a_literal_holds_exactly_its_value(value: str) -> None:
    try:
        written = athena_search.literal(value)
    except BadInput:
        assert not value.isprintable()
        return
    assert re.fullmatch(r"'(?:[^']|'')*'", written), "it ends where it should, and nowhere before"
    assert written[1:-1].replace("''", "'") == value


async def test_all_that_was_read_is_kept_with_the_query(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, _ = athena(7)
    found = await actions.read(ATHENA, **ASKED, limit=5)
    (evidence,) = found.evidence
    kept = json.loads(actions.vault.kept[evidence.digest])
    assert evidence.digest == found.data["digest"]
    assert [row["event_id"] for row in kept["rows"]] == ["0", "1", "2", "3", "4"]
    assert kept["cut"] is True
    assert kept["query"] == found.data["query"]
    assert "there are more, only the first 5 were read" in found.summary


async def test_a_try_after_a_crash_finds_the_query(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, service = athena(3, "RUNNING", "RUNNING", "SUCCEEDED")
    actions.wire.crash_after = 2
    with pytest.raises(ApplicationError, match="Crash"):
        await actions.read(ATHENA, **ASKED)
    actions.wire.crash_after = None
    found = await actions.read(ATHENA, **ASKED)
    assert found.data["events"] == 3
    assert list(service.asked) == [found.data["execution_id"]], "it was started once"


async def test_another_step_asks_by_itself(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, service = athena(3, "SUCCEEDED")
    await actions.read(ATHENA, **ASKED)
    actions.step_id = "step-2"
    await actions.read(ATHENA, **ASKED)
    assert len(service.asked) == 2


async def test_a_query_that_failed_before_is_asked_anew(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, service = athena(3, "RUNNING", "FAILED")
    with pytest.raises(ApplicationError, match="ended as FAILED: it is FAILED") as caught:
        await actions.read(ATHENA, **ASKED)
    assert caught.value.type == "ActionError"
    assert len(service.asked) == 1, "one that fails under our eyes is not asked again"
    service.looks = ["SUCCEEDED"]
    found = await actions.read(ATHENA, **ASKED)
    assert found.data["events"] == 3
    assert len(service.asked) == 2


async def test_one_that_always_fails_at_once_ends(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, service = athena(3, "FAILED")
    with pytest.raises(ApplicationError, match="ended as FAILED"):
        await actions.read(ATHENA, **ASKED)
    assert len(service.asked) == athena_search.GENERATIONS


def cancelled(actions: Any, function: Any, params: Any) -> Unavailable:
    """Runs a read that is cancelled while its query runs; what it raised."""
    ctx = actions.context()
    raised: list[Unavailable] = []

    def work() -> None:
        try:
            function(ctx, params)
        except Unavailable as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 20
    while not ctx.progress and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ctx.progress, "it reports how far it is"
    ctx.cancelled.set()
    thread.join(20)
    (error,) = raised
    return error


def test_a_cancelled_search_stops_its_query(athena: Callable[..., tuple[Any, Athena]]) -> None:
    actions, service = athena(3, "RUNNING")
    error = cancelled(
        actions, athena_search.search_by_athena, athena_search.AthenaParams.model_validate(ASKED)
    )
    assert service.stopped == list(service.asked)
    assert "was stopped" in error.message


def test_a_cancelled_search_of_logs_stops_its_query(insights: Callable[..., tuple[Any, Insights]]) -> None:
    actions, service = insights(3, "Running")
    error = cancelled(actions, logs_insights.search_logs, logs_insights.LogsParams.model_validate(LOOKED_FOR))
    assert service.stopped == ["q-0"]
    assert "was stopped" in error.message


def test_a_try_after_a_crash_finds_the_query_in_the_logs(
    insights: Callable[..., tuple[Any, Insights]],
) -> None:
    actions, service = insights(3, "Running", "Complete")
    params = logs_insights.LogsParams.model_validate(LOOKED_FOR)
    logs_insights.search_logs(actions.context(), params)
    found = logs_insights.search_logs(actions.context(attempt=2), params)
    assert (found.events, found.query_id) == (3, "q-0")
    assert list(service.asked) == ["q-0"]
    other = params.model_copy(update={"log_groups": ("/shop/backend",)})
    assert logs_insights.search_logs(actions.context(attempt=2), other).query_id == "q-1"
    service.left["q-0"] = ["Failed"]
    assert logs_insights.search_logs(actions.context(attempt=2), params).query_id == "q-2"


async def test_a_search_of_logs_that_fails_says_what_to_do(
    insights: Callable[..., tuple[Any, Insights]],
) -> None:
    actions, _ = insights(3, "Running", "Timeout")
    with pytest.raises(ApplicationError, match="ended as Timeout") as caught:
        await actions.read(LOGS, **LOOKED_FOR)
    assert "shorten the span" in caught.value.details[0].hint


async def test_logs_say_whether_there_are_more(insights: Callable[..., tuple[Any, Insights]]) -> None:
    actions, _ = insights(5, "Complete")
    exact = await actions.read(LOGS, **LOOKED_FOR, limit=5)
    assert (exact.data["events"], exact.data["cut"]) == (5, False)
    cut = await actions.read(LOGS, **LOOKED_FOR, limit=4)
    assert (cut.data["events"], cut.data["cut"]) == (4, True)
    kept = json.loads(actions.vault.kept[cut.data["digest"]])
    assert len(kept["rows"]) == 4
    assert "@ptr" not in kept["rows"][0]


@given(
    st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=20), st.sampled_from(["equal", "contains"])
)
def test_no_value_ends_its_quotation(value: str, field: str, how: str) -> None:
    try:
        params = logs_insights.LogsParams.model_validate(
            {**LOOKED_FOR, "where": [{"field": field, "how": how, "value": value}]}
        )
    except ValidationError:
        return
    text = logs_insights.query_text(params)
    lines = text.split("\n")
    assert len(lines) == 4
    assert lines[1].startswith("| filter ")
    assert lines[1].count('"') == 2
    assert "`" not in lines[1].replace(f"`{params.where[0].field}`", "", 1)


@pytest.mark.parametrize("value", ['x" or 1=1', "x\n| limit 1", "a\\", "`", "'", ""])
def test_values_that_could_end_it_are_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        logs_insights.LogsParams.model_validate(
            {**LOOKED_FOR, "where": [{"field": "client_ip", "value": value}]}
        )
