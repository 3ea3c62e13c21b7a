"""The codec: what goes in comes out, and what was changed is refused."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from soar.model.alert import RawRef
from soar.model.people import Responder
from soar.runtime.codec import (
    ChainCodec,
    ClaimCheckCodec,
    CodecError,
    EncryptionCodec,
    data_converter,
    generate_key,
)
from soar.runtime.settings import load_settings

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
payloads = st.builds(
    Payload,
    metadata=st.dictionaries(st.text(max_size=8), st.binary(max_size=16), max_size=3),
    data=st.binary(max_size=512),
)


class MemoryStore:
    """A vault in memory: the smallest that keeps its promises."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, data: bytes) -> RawRef:
        digest = hashlib.sha256(data).hexdigest()
        self.kept[digest] = data
        return RawRef(digest=digest, size=len(data))

    async def get(self, digest: str) -> bytes:
        return self.kept[digest]


@given(st.lists(payloads, max_size=4), st.integers(min_value=0, max_value=600))
def test_round_trip(given_payloads: list[Payload], over: int) -> None:
    store = MemoryStore()
    codec = ChainCodec(EncryptionCodec({"k": NEW}), ClaimCheckCodec(store, over=over))

    async def run() -> tuple[list[Payload], list[Payload]]:
        encoded = await codec.encode(given_payloads)
        return encoded, await codec.decode(encoded)

    encoded, decoded = asyncio.run(run())
    assert decoded == given_payloads
    for payload in encoded:
        assert payload.metadata["encoding"] in (b"binary/encrypted", b"binary/claim-check")


@given(payloads, st.data())
def test_any_changed_byte_is_refused(payload: Payload, data: st.DataObject) -> None:
    codec = EncryptionCodec({"k": NEW})
    (sealed,) = asyncio.run(codec.encode([payload]))
    place = data.draw(st.integers(min_value=0, max_value=len(sealed.data) - 1))
    changed = bytearray(sealed.data)
    changed[place] ^= data.draw(st.integers(min_value=1, max_value=255))
    sealed.data = bytes(changed)
    with pytest.raises(CodecError, match="was changed"):
        asyncio.run(codec.decode([sealed]))


@given(st.binary(max_size=40))
def test_garbage_is_refused_in_words(data: bytes) -> None:
    sealed = Payload(metadata={"encoding": b"binary/encrypted", "key-id": b"k"}, data=data)
    with pytest.raises(CodecError):
        asyncio.run(EncryptionCodec({"k": NEW}).decode([sealed]))
    claim = Payload(metadata={"encoding": b"binary/claim-check"}, data=data)
    with pytest.raises(CodecError):
        asyncio.run(ClaimCheckCodec(MemoryStore()).decode([claim]))


async def test_keys_rotate() -> None:
    secret = Payload(metadata={"encoding": b"json/plain"}, data=b'"AKIA"')
    before = await EncryptionCodec({"old": OLD}).encode([secret])
    rotated = EncryptionCodec({"new": NEW, "old": OLD})
    assert await rotated.decode(before) == [secret]
    (after,) = await rotated.encode([secret])
    assert after.metadata["key-id"] == b"new"
    assert b"AKIA" not in after.SerializeToString()
    with pytest.raises(CodecError, match=r"no key with the id 'new'.*SOAR_CODEC_KEYS"):
        await EncryptionCodec({"old": OLD}).decode([after])


async def test_a_key_id_cannot_be_exchanged() -> None:
    codec = EncryptionCodec({"a": NEW, "b": NEW})
    (sealed,) = await codec.encode([Payload(data=b"x")])
    sealed.metadata["key-id"] = b"b"
    with pytest.raises(CodecError, match="was changed"):
        await codec.decode([sealed])


async def test_plaintext_is_refused_unless_migrating() -> None:
    planted = Payload(metadata={"encoding": b"json/plain"}, data=b"true")
    with pytest.raises(CodecError, match="SOAR_CODEC_ACCEPT_PLAINTEXT"):
        await EncryptionCodec({"k": NEW}).decode([planted])
    assert await EncryptionCodec({"k": NEW}, accept_plaintext=True).decode([planted]) == [planted]


async def test_large_payloads_travel_as_references() -> None:
    store = MemoryStore()
    codec = ClaimCheckCodec(store, over=1000)
    small, large = Payload(data=b"x" * 100), Payload(data=os.urandom(5000))
    encoded = await codec.encode([small, large])
    assert encoded[0] == small
    assert encoded[1].ByteSize() < 300
    assert await codec.decode(encoded) == [small, large]

    (digest,) = store.kept
    store.kept[digest] = Payload(data=b"other").SerializeToString()
    with pytest.raises(CodecError, match="is not what was put there"):
        await codec.decode(encoded)
    del store.kept[digest]
    with pytest.raises(CodecError, match="does not give payload"):
        await codec.decode(encoded)


async def test_the_converter_hides_failures_too() -> None:
    settings = load_settings(codec_keys=generate_key("k1"))
    converter = data_converter(settings, MemoryStore())
    failure = Failure()
    await converter.encode_failure(
        ApplicationError("the key AKIAEXAMPLE was refused", type="Denied"), failure
    )
    assert "AKIAEXAMPLE" not in failure.message
    assert b"AKIAEXAMPLE" not in failure.SerializeToString()
    assert "AKIAEXAMPLE" in str(await converter.decode_failure(failure))


async def test_models_pass_the_converter() -> None:
    responder = Responder(id="ada", name="Ada", roles=("lead",))
    converter = data_converter(load_settings())
    assert converter.payload_codec is None
    assert await converter.decode(await converter.encode([responder]), [Responder]) == [responder]


def test_a_generated_key_is_a_setting() -> None:
    text = generate_key("2026-11")
    assert len(base64.b64decode(text.partition(":")[2])) == 32
    assert list(load_settings(codec_keys=text).encryption_keys) == ["2026-11"]
