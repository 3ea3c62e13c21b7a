"""What is acknowledged is kept, what is refused is named, and what cannot be kept is not acknowledged."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from soar.evidence import LocalVault
from soar.intake.accept import MAX_BODY, MAX_DEPTH, accept
from soar.model.alert import Alert
from soar.model.base import digest_of
from soar.model.terms import Severity
from soar.sources.auth import sign, verify_shared_secret
from soar.sources.contract import BadAlert, Source, SourceRequest, Unauthenticated
from soar.sources.guardduty import GuardDuty
from soar.store import Store, StoreUnavailable
from soar.store.database import Database

FINDING = Path(__file__).parents[1] / "fixtures" / "guardduty" / "iam-malicious-ip-caller-custom.json"
SECRETS = ("s3cret-1", "s3cret-2")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Lists(Source):
    """A source that delivers several alerts at once: a list of ids."""

    name: ClassVar[str] = "lists"
    title: ClassVar[str] = "Lists"
    docs: ClassVar[str] = "https://example.com/"

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        """See base class."""
        verify_shared_secret(request, secrets, setting="SOAR_SOURCE_LISTS_SECRETS")

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See base class."""
        if not isinstance(payload, list):
            raise BadAlert("$", "a list is needed here")
        return [
            Alert(source="lists", uid=str(uid), title="t", severity=Severity.LOW, time=NOW) for uid in payload
        ]


def delivery(body: bytes, secret: str = SECRETS[0]) -> SourceRequest:
    return SourceRequest.of(sign(secret, body, NOW), body, NOW)


def kept_files(vault: LocalVault) -> list[Path]:
    return [p for p in vault.path("0" * 64).parents[2].rglob("*") if p.is_file()]


@pytest.mark.parametrize("secret", SECRETS)
async def test_a_finding_is_kept_in_three_places(store: Store, vault: LocalVault, secret: str) -> None:
    body = FINDING.read_bytes()
    accepted = await accept(GuardDuty(), delivery(body, secret), SECRETS, store, vault)
    [key] = accepted.alerts
    assert accepted.fresh == 1
    row = await store.alert(key)
    assert row is not None
    assert row.alert is not None
    assert (row.status, row.source, row.received_at) == ("received", "guardduty", NOW)
    assert row.alert.raw is not None
    assert row.raw_digest == row.alert.raw.digest == digest_of(body)
    assert await vault.get(row.raw_digest) == body
    [item] = await store.claim("alert")
    assert (item.key, Alert.model_validate(item.body)) == (key, row.alert)


async def test_the_same_again_changes_nothing(store: Store, vault: LocalVault) -> None:
    first = await accept(GuardDuty(), delivery(FINDING.read_bytes()), SECRETS, store, vault)
    again = await accept(GuardDuty(), delivery(FINDING.read_bytes()), SECRETS, store, vault)
    # Written in another way, in another envelope, it is the same telling of the same finding.
    event = json.loads(FINDING.read_bytes()) | {"id": "another-event"}
    copy = await accept(GuardDuty(), delivery(json.dumps(event).encode()), SECRETS, store, vault)
    assert (first.fresh, again.fresh, copy.fresh) == (1, 0, 0)
    assert first.alerts == again.alerts == copy.alerts
    assert await store.pending("alert") == 1
    assert len(await store.alerts()) == 1


async def test_a_delivery_that_was_half_taken_is_completed(store: Store, vault: LocalVault) -> None:
    await accept(Lists(), delivery(b"[1]"), SECRETS, store, vault)
    accepted = await accept(Lists(), delivery(b"[1, 2, 3]"), SECRETS, store, vault)
    assert (len(accepted.alerts), accepted.fresh) == (3, 2)
    assert await store.pending("alert") == 3


@pytest.mark.parametrize("secrets", [("another",), ()])
async def test_of_a_stranger_nothing_is_kept(
    store: Store, vault: LocalVault, secrets: tuple[str, ...]
) -> None:
    for body in (FINDING.read_bytes(), b"not JSON"):
        with pytest.raises(Unauthenticated):
            await accept(GuardDuty(), delivery(body), secrets, store, vault)
    assert await store.alerts() == []
    assert kept_files(vault) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "$"),
        (b"not JSON", "$"),
        (b"\xff\xfe\xfd", "$"),
        (b'{"a": NaN}', "$"),
        (b'{"detail-type": "GuardDuty Finding", "detail": {"severity": 1e999}}', "$"),
        (b"[" * 100_000, "$"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "$"),
        (b'{"a": ' + b"9" * 5000 + b"}", "$"),
        (b"null", "$"),
        (b'{"detail-type": "GuardDuty Finding", "detail": {"id": "x"}}', "$.detail.createdAt"),
    ],
)
async def test_what_is_no_alert_is_kept_and_listed(
    store: Store, vault: LocalVault, body: bytes, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "soar.intake"), pytest.raises(BadAlert) as caught:
        await accept(GuardDuty(), delivery(body), SECRETS, store, vault)
    assert (caught.value.field, caught.value.raw_digest) == (field, digest_of(body))
    [row] = await store.alerts(status="invalid")
    assert (row.source, row.field, row.reason) == ("guardduty", field, caught.value.message)
    assert await vault.get(row.raw_digest) == body
    assert await store.pending("alert") == 0
    assert [r.getMessage() for r in caplog.records] == ["alert.invalid"]


async def test_text_that_no_database_could_keep_is_made_so_that_it_can_be(
    store: Store, vault: LocalVault
) -> None:
    event = json.loads(FINDING.read_bytes())
    event["detail"] |= {"title": "a\x00b\ud800c", "id": "id\x00"}
    event["detail"]["service"]["action"]["\x00\udfff"] = ["\x00", 10**3000]
    body = json.dumps(event).encode()
    [key] = (await accept(GuardDuty(), delivery(body), SECRETS, store, vault)).alerts
    row = await store.alert(key)
    assert row is not None
    assert row.alert is not None
    assert "\x00" not in row.title
    assert row.alert.title.startswith("a")
    assert row.alert.key == key


def nested(levels: int) -> bytes:
    """A finding whose deepest value is so many lists and objects down."""
    event = json.loads(FINDING.read_bytes())
    event["detail"]["service"]["action"]["deep"] = "HERE"  # in four objects
    lists = "[" * (levels - 4) + "]" * (levels - 4)
    return json.dumps(event).replace('"HERE"', lists).encode()


async def test_what_is_as_deep_as_is_taken_can_be_read_wherever_it_goes(
    store: Store, vault: LocalVault
) -> None:
    [key] = (await accept(GuardDuty(), delivery(nested(MAX_DEPTH)), SECRETS, store, vault)).alerts
    [row] = await store.alerts()
    [item] = await store.claim("alert")
    assert row.id == item.key == key
    assert Alert.model_validate(item.body) == row.alert


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, *range(250, 262)])
async def test_what_is_too_deep_to_be_read_again_is_not_taken(
    store: Store, vault: LocalVault, levels: int
) -> None:
    with pytest.raises(BadAlert, match="nested"):
        await accept(GuardDuty(), delivery(nested(levels)), SECRETS, store, vault)
    [row] = await store.alerts()
    assert row.status == "invalid"
    assert await store.claim("alert") == []


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///{folder}", "postgresql+asyncpg://u:p@127.0.0.1:1/none"])
@pytest.mark.parametrize("body", [FINDING.read_bytes(), b"not JSON"], ids=["finding", "invalid"])
async def test_without_its_database_nothing_is_acknowledged(
    vault: LocalVault, tmp_path: Path, store: Store, url: str, body: bytes
) -> None:
    down = Store(Database(url.format(folder=tmp_path)))
    with pytest.raises(StoreUnavailable, match="database"):
        await accept(GuardDuty(), delivery(body), SECRETS, down, vault)
    await down.close()
    assert await vault.get(digest_of(body)) == body
    if body != b"not JSON":  # sent again when the database is back
        assert (await accept(GuardDuty(), delivery(body), SECRETS, store, vault)).fresh == 1


async def test_a_body_within_the_limit_is_taken_and_one_above_is_not(store: Store, vault: LocalVault) -> None:
    event = json.loads(FINDING.read_bytes())
    event["padding"] = ""
    event["padding"] = "x" * (MAX_BODY - len(json.dumps(event)))
    body = json.dumps(event).encode()
    assert len(body) == MAX_BODY
    assert (await accept(GuardDuty(), delivery(body), SECRETS, store, vault)).fresh == 1
    with pytest.raises(BadAlert, match="bytes"):
        await accept(GuardDuty(), delivery(body + b" "), SECRETS, store, vault)


async def test_without_its_vault_nothing_is_acknowledged(store: Store, vault: LocalVault) -> None:
    body = FINDING.read_bytes()
    place = vault.path(digest_of(body)).parents[1]
    place.write_text("a file is where the folder should be")
    with pytest.raises(StoreUnavailable, match="vault"):
        await accept(GuardDuty(), delivery(body), SECRETS, store, vault)
    assert await store.alerts() == []
    place.unlink()
    assert (await accept(GuardDuty(), delivery(body), SECRETS, store, vault)).fresh == 1


async def test_with_a_damaged_vault_nothing_is_acknowledged(store: Store, vault: LocalVault) -> None:
    body = FINDING.read_bytes()
    path = vault.path((await vault.put(body)).digest)
    path.chmod(0o600)
    path.write_bytes(b"forged")
    with pytest.raises(StoreUnavailable, match="vault"):
        await accept(GuardDuty(), delivery(body), SECRETS, store, vault)
    assert await store.alerts() == []
