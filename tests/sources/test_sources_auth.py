"""Who may deliver: only who knows a secret in force, and nothing sent makes the check fail in another way."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.sources.auth import REPLAY_SECONDS, sign, verify_hmac, verify_shared_secret
from soar.sources.contract import SourceRequest, Unauthenticated
from soar.sources.jira import Jira

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BODY = b'{"a": 1}'
OLD, NEW = "the old secret", "the new secret: é"


def request(headers: dict[str, str], body: bytes = BODY, at: datetime = NOW) -> SourceRequest:
    return SourceRequest({key.lower(): value for key, value in headers.items()}, body, at)


def verify(found: SourceRequest, *secrets: str) -> None:
    verify_shared_secret(found, secrets, setting="SOAR_SOURCE_TEST_SECRETS")


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_each_way_with_each_secret_in_force(secret: str) -> None:
    for headers in (
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"bearer   {secret}"},
        {"X-Api-Key": secret},
        sign(secret, BODY, NOW),
    ):
        verify(request(headers), OLD, NEW)
        with pytest.raises(Unauthenticated):
            verify(request(headers), "a third")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {OLD}"},
        {"Authorization": f"Bearer {OLD[:-1]}"},
        {"X-Api-Key": ""},
        {"X-Api-Key": OLD + " "},
        {"X-Soar-Signature": "v1=" + "0" * 64},
        {"X-Soar-Signature": "v1=" + "0" * 64, "X-Soar-Timestamp": "now"},
        {"X-Soar-Signature": "v1=" + "0" * 64, "X-Soar-Timestamp": "١٧٧٢٣٦٦٤٠٠"},
        {"X-Soar-Signature": "v1=" + "0" * 64, "X-Soar-Timestamp": "1e9"},
        {"X-Soar-Signature": "v1=" + "0" * 64, "X-Soar-Timestamp": "9" * 400},
        {"X-Soar-Signature": "v0=" + "0" * 64, "X-Soar-Timestamp": str(int(NOW.timestamp()))},
        {"X-Soar-Signature": "é", "X-Soar-Timestamp": str(int(NOW.timestamp()))},
    ],
)
def test_what_does_not_count(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        verify(request(headers), OLD)


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_password_and_the_address_are_ways_too(secret: str) -> None:
    password = base64.b64encode(f"anybody:{secret}".encode()).decode()
    verify(request({"Authorization": f"Basic {password}"}), OLD, NEW)
    verify(SourceRequest.of({}, BODY, NOW, secret), OLD, NEW)
    for wrong in ("", "wrong", secret[:-1], f"{secret} "):
        with pytest.raises(Unauthenticated):
            verify(SourceRequest.of({}, BODY, NOW, wrong), OLD, NEW)
    without = base64.b64encode(secret.encode()).decode()
    for wrong in (without, base64.b64encode(f"{secret}:x".encode()).decode(), "%%%", password[:-4]):
        with pytest.raises(Unauthenticated):
            verify(request({"Authorization": f"Basic {wrong}"}), OLD, NEW)


def test_the_address_shows_in_no_representation() -> None:
    assert OLD not in repr(SourceRequest.of({}, BODY, NOW, OLD))


def test_a_vendors_signature_of_the_body() -> None:
    def mac(secret: str, body: bytes = BODY, how: Any = hashlib.sha256) -> str:
        return hmac.new(secret.encode(), body, how).hexdigest()

    def take(value: str, *secrets: str) -> None:
        verify_hmac(request({"X-Sig": value}), secrets, header="x-sig", setting="SOAR_SOURCE_TEST_SECRETS")

    take(f"sha256={mac(OLD)}", OLD)
    take(f"v1={mac('rotated')}, v1={mac(NEW)}", OLD, NEW)
    take(f"sha256={mac(OLD).upper()}", OLD)
    for wrong in (
        "",
        mac(OLD),
        f"sha1={mac(OLD, how=hashlib.sha1)}",
        f"sha256={mac(OLD, b'other')}",
        "sha256=",
    ):
        with pytest.raises(Unauthenticated):
            take(wrong, OLD)
    with pytest.raises(Unauthenticated, match="SOAR_SOURCE_TEST_SECRETS"):
        take(f"sha256={mac('')}", "")


def test_jira_signs_or_knows_the_secret() -> None:
    signature = hmac.new(OLD.encode(), BODY, hashlib.sha256).hexdigest()
    Jira().verify(request({"X-Hub-Signature": f"sha256={signature}"}), (OLD,))
    Jira().verify(request({"Authorization": f"Bearer {OLD}"}), (OLD,))
    with pytest.raises(Unauthenticated):  # a wrong signature is not healed by a right secret
        Jira().verify(request({"X-Hub-Signature": "sha256=00", "Authorization": f"Bearer {OLD}"}), (OLD,))


def test_a_signature_guards_the_body_and_the_time() -> None:
    signed = sign(OLD, BODY, NOW)
    with pytest.raises(Unauthenticated, match="fits none"):
        verify(request(signed, BODY + b" "), OLD)
    with pytest.raises(Unauthenticated, match="fits none"):
        verify(request({**signed, "X-Soar-Timestamp": str(int(NOW.timestamp()) + 1)}), OLD)
    for late in (REPLAY_SECONDS, -REPLAY_SECONDS):
        verify(request(signed, at=NOW + timedelta(seconds=late)), OLD)
    for late in (REPLAY_SECONDS + 1, -REPLAY_SECONDS - 1):
        with pytest.raises(Unauthenticated, match="at most"):
            verify(request(signed, at=NOW + timedelta(seconds=late)), OLD)


def test_a_wrong_signature_is_not_healed_by_a_right_key() -> None:
    with pytest.raises(Unauthenticated):
        verify(request({**sign("wrong", BODY, NOW), "X-Api-Key": OLD}), OLD)


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_without_a_secret_nobody_delivers(secrets: tuple[str, ...]) -> None:
    for headers in ({}, {"X-Api-Key": ""}, {"Authorization": "Bearer "}, sign("", BODY, NOW)):
        with pytest.raises(Unauthenticated, match="SOAR_SOURCE_TEST_SECRETS"):
            verify(request(headers), *secrets)


def test_a_secret_that_is_not_utf8_works_as_it_is() -> None:
    odd = b"caf\xe9-secret".decode("utf-8", "surrogateescape")
    verify(request(sign(odd, BODY, NOW)), odd)
    with pytest.raises(Unauthenticated):
        verify(request(sign(OLD, BODY, NOW)), odd)


def test_the_reason_tells_no_secret() -> None:
    for headers in ({"X-Api-Key": "guess"}, sign("guess", BODY, NOW)):
        with pytest.raises(Unauthenticated) as caught:
            verify(request(headers), OLD)
        assert OLD not in str(caught.value)
        assert "guess" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), min_size=1),
    st.binary(max_size=64),
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.binary(min_size=1, max_size=4),
)
def test_what_is_signed_is_accepted_and_what_is_changed_is_not(
    secret: str, body: bytes, now: datetime, more: bytes
) -> None:
    signed = sign(secret, body, now)
    verify(request(signed, body, now), "another", secret)
    with pytest.raises(Unauthenticated, match="fits none"):
        verify(request(signed, body + more, now), "another", secret)


NAMES = st.sampled_from(["authorization", "x-api-key", "x-soar-timestamp", "x-soar-signature"])
VALUES = st.text() | st.sampled_from(["Bearer \ud800", "v1=" + "a" * 64, "1772366400", "0" * 12])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, VALUES), st.binary(max_size=32), st.sampled_from([OLD, "\udce9", "密"]))
def test_whatever_is_sent_is_refused_in_one_way(headers: dict[str, str], body: bytes, secret: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(request(headers, body), secret)
