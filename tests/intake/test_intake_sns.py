"""Who may deliver by SNS: only SNS itself, and only for the topics that are named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from sns_world import CERTIFICATE, CONFIRM, NOW, TOPIC, Signer, SnsServer, Towards, sns_server

from soar.intake.sns import FETCHES_PER_MINUTE, SnsGate, SnsUnavailable
from soar.sources.contract import SourceRequest, Unauthenticated
from soar.sources.sns import MAX_AGE_SECONDS, check, read

SIGNER = Signer()
OTHER = "arn:aws:sns:eu-central-1:999900001111:alerts"


def delivery(body: bytes, **headers: str) -> SourceRequest:
    return SourceRequest.of({"X-Amz-Sns-Message-Type": "Notification", **headers}, body, NOW)


@pytest.fixture
async def server() -> AsyncIterator[SnsServer]:
    async with sns_server(SIGNER) as running:
        yield running


def gate(server: SnsServer) -> SnsGate:
    return SnsGate((TOPIC,), Towards(server.port))


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "more", [{}, {"Subject": "ALARM: für dich"}, {"Subject": None, "SequenceNumber": "1"}]
)
def test_what_sns_signed_is_taken(version: str, more: dict[str, Any]) -> None:
    found = SIGNER.message("{}", version=version, **{k: v for k, v in more.items() if v is not None})
    found |= more  # `"Subject": null` is no subject
    check(read(json.dumps(found).encode()), SIGNER.certificate, NOW)


@pytest.mark.parametrize("kind", ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_whatever_is_changed_is_noticed(kind: str) -> None:
    good = SIGNER.message("{}", kind, **({"Subject": "s"} if kind == "Notification" else {}))
    changed = {
        "Message": "{ }",
        "MessageId": "x",
        "Timestamp": (NOW - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "TopicArn": OTHER,
        "SignatureVersion": "2",
        "Signature": "AAAA",
    }
    if kind == "Notification":
        changed |= {"Subject": "t", "Type": "UnsubscribeConfirmation"}
    else:
        changed |= {"Token": "u", "SubscribeURL": CONFIRM + "1"}
    check(read(json.dumps(good).encode()), SIGNER.certificate, NOW)
    for name, value in changed.items():
        with pytest.raises(Unauthenticated):
            check(read(json.dumps(good | {name: value}).encode()), SIGNER.certificate, NOW)
    for name in good.keys() - {"SequenceNumber"}:
        with pytest.raises(Unauthenticated):
            check(
                read(json.dumps({k: v for k, v in good.items() if k != name}).encode()),
                SIGNER.certificate,
                NOW,
            )


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com.attacker.example/a.pem",
        "https://attacker.example/sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com@attacker.example/a.pem",
        "https://sns.eu-central-1.amazonaws.com:444/a.pem",
        "https://s3.eu-central-1.amazonaws.com/a.pem",
        "https://sns.bucket.s3.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com/../a.pem",
        "https://sns.eu-central-1.amazonaws.com/?Action=Publish&x=.pem",
        CERTIFICATE + "\n",
    ],
)
def test_a_certificate_is_nowhere_but_at_sns(url: str) -> None:
    with pytest.raises(Unauthenticated, match="SigningCertURL"):
        read(SIGNER.body("{}", SigningCertURL=url))


@pytest.mark.parametrize(
    "url",
    [
        CONFIRM.replace("sns.eu", "sqs.eu"),
        CONFIRM.replace("https", "http"),
        CONFIRM.replace("ConfirmSubscription", "Publish"),
        CONFIRM.replace(TOPIC, OTHER),
        CONFIRM + "&Action=Publish",
        "",
    ],
)
def test_nothing_but_the_confirmation_of_the_topic_is_opened(url: str) -> None:
    with pytest.raises(Unauthenticated, match="SubscribeURL"):
        read(SIGNER.body("m", "SubscriptionConfirmation", SubscribeURL=url))


def test_what_is_old_or_of_tomorrow_or_by_an_expired_certificate_is_refused() -> None:
    message = read(SIGNER.body("{}"))
    check(message, SIGNER.certificate, NOW + timedelta(seconds=MAX_AGE_SECONDS - 1))
    for later in (MAX_AGE_SECONDS + 1, -301):
        with pytest.raises(Unauthenticated, match="sent"):
            check(message, SIGNER.certificate, NOW + timedelta(seconds=later))
    expired = Signer(NOW - timedelta(days=366))
    with pytest.raises(Unauthenticated, match="not in force"):
        check(read(expired.body("{}")), expired.certificate, NOW)
    for certificate in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(Unauthenticated, match="is none"):
            check(message, certificate, NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary() | st.tuples(st.sampled_from(sorted(SIGNER.message("{}"))), _JSON))
def test_no_bytes_make_it_fail_in_another_way(drawn: bytes | tuple[str, Any]) -> None:
    body = (
        drawn
        if isinstance(drawn, bytes)
        else json.dumps(SIGNER.message("{}") | {drawn[0]: drawn[1]}).encode()
    )
    try:
        check(read(body), SIGNER.certificate, NOW)
    except Unauthenticated:
        return
    # What is taken although something was replaced: a text that is the same, or a name that SNS does not sign.
    assert not isinstance(drawn, bytes)
    assert drawn[0] in ("SigningCertURL", "Signature") or SIGNER.message("{}")[drawn[0]] == drawn[1]


async def test_a_topic_that_is_named_is_admitted_and_the_certificate_is_asked_for_once(
    server: SnsServer,
) -> None:
    door = gate(server)
    for _ in range(3):
        proved = await door.admit(delivery(SIGNER.body("{}")))
        assert proved is not None
        assert TOPIC in proved.proven
    assert server.asked == [CERTIFICATE]


async def test_another_topic_is_refused_before_anybody_is_asked(server: SnsServer) -> None:
    for door in (gate(server), SnsGate()):
        with pytest.raises(Unauthenticated, match="SOAR_SNS_TOPICS does not name"):
            await door.admit(delivery(SIGNER.body("{}", TopicArn=OTHER)))
    assert server.asked == []


async def test_another_key_than_that_of_sns_is_refused(server: SnsServer) -> None:
    with pytest.raises(Unauthenticated, match="does not fit"):
        await gate(server).admit(delivery(Signer().body("{}")))


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, SnsUnavailable), (429, SnsUnavailable), (302, SnsUnavailable), (404, Unauthenticated)],
)
async def test_what_sns_cannot_say_now_is_sent_again_and_not_kept(
    server: SnsServer, status: int, error: type[Exception]
) -> None:
    door = gate(server)
    server.replies.append(web.Response(status=status, headers={"Location": "https://attacker.example/"}))
    with pytest.raises(error):
        await door.admit(delivery(SIGNER.body("{}")))
    assert await door.admit(delivery(SIGNER.body("{}"))) is not None
    assert server.asked == [CERTIFICATE, CERTIFICATE]


async def test_a_host_that_does_not_answer_is_unavailable() -> None:
    async with sns_server(SIGNER) as gone:
        port = gone.port
    with pytest.raises(SnsUnavailable, match="cannot be reached"):
        await SnsGate((TOPIC,), Towards(port)).admit(delivery(SIGNER.body("{}")))


async def test_an_endless_certificate_is_not_read(server: SnsServer) -> None:
    server.replies.append(web.Response(body=b"x" * 1_000_000))
    with pytest.raises(Unauthenticated, match="bytes"):
        await gate(server).admit(delivery(SIGNER.body("{}")))


async def test_made_up_certificates_do_not_keep_us_asking(server: SnsServer) -> None:
    door = gate(server)
    assert await door.admit(delivery(SIGNER.body("{}"))) is not None
    for number in range(FETCHES_PER_MINUTE * 2):
        server.replies[:] = [web.Response(status=404)]
        with pytest.raises((SnsUnavailable, Unauthenticated)):
            await door.admit(
                delivery(
                    SIGNER.body("{}", SigningCertURL=CERTIFICATE.replace("Service-", f"Service-{number}x"))
                )
            )
    assert len(server.asked) == FETCHES_PER_MINUTE
    # Whoever makes them up stops nobody whose certificate is known.
    assert await door.admit(delivery(SIGNER.body("{}"))) is not None


async def test_a_subscription_is_confirmed_and_its_end_is_told(
    server: SnsServer, caplog: pytest.LogCaptureFixture
) -> None:
    door = gate(server)
    assert await door.admit(delivery(SIGNER.body("m", "SubscriptionConfirmation"))) is None
    assert server.asked == [CERTIFICATE, CONFIRM]
    assert await door.admit(delivery(SIGNER.body("m", "UnsubscribeConfirmation"))) is None
    assert server.asked == [CERTIFICATE, CONFIRM], "or it would be subscribed again"
    assert "sns.unsubscribed" in caplog.text
    server.replies.append(web.Response(status=500))
    with pytest.raises(SnsUnavailable):
        await door.admit(delivery(SIGNER.body("m", "SubscriptionConfirmation")))


def test_who_knows_a_secret_needs_no_signature() -> None:
    assert SnsGate.is_for(delivery(b"{}"))
    assert not SnsGate.is_for(delivery(b"{}", Authorization="Basic c25zOnNlY3JldA=="))
    assert not SnsGate.is_for(delivery(b"{}", **{"X-Amz-Sns-Rawdelivery": "true"}))
    assert not SnsGate.is_for(
        SourceRequest.of({"X-Amz-Sns-Message-Type": "Notification"}, b"{}", NOW, "secret")
    )
    assert not SnsGate.is_for(SourceRequest.of({}, SIGNER.body("{}"), NOW))
