"""Where requests may go: the address that is connected to is the one that was allowed, whatever the name said."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest
from http_service import Answer, Authority, Service, as_json, closed_port, serve, to
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from soar.actions.errors import BadInput
from soar.actions.http.addresses import AllowList, Origin, forbidden_kind
from soar.actions.http.urls import origin_of, parse_url, within

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "172.32.0.1", "100.128.0.1", "::ffff:8.8.8.8"]
FORBIDDEN = {
    "127.0.0.1": "loopback",
    "127.255.0.3": "loopback",
    "::1": "loopback",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "fc00::1": "private",
    "fdff::1": "private",
    "169.254.1.1": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "100.64.0.1": "shared (carrier NAT)",
    "100.127.255.255": "shared (carrier NAT)",
    "224.0.0.1": "multicast",
    "ff02::1": "multicast",
    "255.255.255.255": "reserved",
    "240.0.0.1": "reserved",
    "192.0.2.1": "reserved",
    "2001:db8::1": "reserved",
    "2001::1": "reserved",
    "2002:7f00:1::": "6to4",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b:1::1": "NAT64",
    "::7f00:1": "reserved",
    "100::1": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:169.254.169.254": "instance metadata",
    "169.254.169.254": "instance metadata",
    "169.254.170.2": "instance metadata",
    "168.63.129.16": "instance metadata",
    "100.100.100.200": "instance metadata",
    "fd00:ec2::254": "instance metadata",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_gone_to(address: str) -> None:
    assert forbidden_kind(ipaddress.ip_address(address)) == ""


@pytest.mark.parametrize(("address", "kind"), FORBIDDEN.items())
def test_all_others_may_not(address: str, kind: str) -> None:
    assert forbidden_kind(ipaddress.ip_address(address)) == kind


@given(st.ip_addresses())
def test_nothing_is_allowed_that_python_calls_private(address: Any) -> None:
    address = getattr(address, "ipv4_mapped", None) or address
    if not forbidden_kind(address):
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_reserved


@given(st.ip_addresses(v=4))
def test_an_address_in_the_clothes_of_ipv6_is_the_same(address: ipaddress.IPv4Address) -> None:
    assert forbidden_kind(ipaddress.ip_address(f"::ffff:{address}")) == forbidden_kind(address)
    packed = int(address)
    for prefix in ("64:ff9b::", "2002::"):
        shift = 80 if prefix == "2002::" else 0
        assert forbidden_kind(ipaddress.IPv6Address(int(ipaddress.ip_address(prefix)) | packed << shift))


def _refusal(entries: list[str], host: str, port: int, address: str) -> str:
    return AllowList(entries).refusal(host, port, ipaddress.ip_address(address))


def test_a_name_opens_inner_addresses_for_that_name_and_port_only() -> None:
    allow = ["siem.internal:8089"]
    assert _refusal(allow, "siem.internal", 8089, "10.0.0.5") == ""
    assert _refusal(allow, "siem.internal", 8089, "fd12::5") == ""
    assert _refusal(allow, "siem.internal", 443, "10.0.0.5") == "private"
    assert _refusal(allow, "evil.example", 8089, "10.0.0.5") == "private"


def test_a_name_never_opens_metadata() -> None:
    assert _refusal(["siem.internal:80"], "siem.internal", 80, "169.254.169.254") == "instance metadata"
    assert _refusal(["siem.internal:80"], "siem.internal", 80, "169.254.7.7") == "link-local"


def test_a_network_opens_its_addresses_but_metadata_only_by_itself() -> None:
    assert _refusal(["10.20.0.0/16"], "any.example", 443, "10.20.3.4") == ""
    assert _refusal(["10.20.0.0/16"], "any.example", 443, "::ffff:10.20.3.4") == ""
    assert _refusal(["10.20.0.0/16"], "any.example", 443, "10.21.3.4") == "private"
    assert _refusal(["0.0.0.0/0"], "any.example", 80, "169.254.169.254") == "instance metadata"
    assert _refusal(["169.254.169.254"], "any.example", 80, "169.254.169.254") == ""


def test_tls_is_only_left_out_where_it_is_allowed() -> None:
    allow = AllowList(["http://old.internal:8080", "siem.internal:8089"])
    assert allow.plain(Origin("http", "old.internal", 8080))
    assert not allow.plain(Origin("http", "old.internal", 80))
    assert not allow.plain(Origin("http", "siem.internal", 8089))


@pytest.mark.parametrize(
    "entry",
    ["siem.internal", "10.0.0.1/8", "ftp://a:1", "a:0", "a:b", "http://a:1/x", "u@a:1", "*", "", "a b:1"],
)
def test_an_entry_that_is_not_understood_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is neither|is no network"):
        AllowList([entry])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://a/b", "https://"),
        ("//a/b", "https://"),
        ("/b", "https://"),
        ("https://", "https://"),
        ("https://user:pass@a/b", "user name or password"),
        ("https://user@a/b", "user name or password"),
        ("https://a\n/b", "control character"),
        ("https://a\\@b/", "backslash"),
        ("https://a/%2e%2e/b", "as a part"),
        ("https://a/b/%2E./c", "as a part"),
        ("https://a/ip/../../admin", "as a part"),
        ("https://a/./b", "as a part"),
        ("https://a:99999/", "no port"),
        ("https://[fe80::1%25eth0]/", "not a name"),
        ("https://a/" + "x" * 9000, "characters"),
        ("javascript:alert(1)", "https://"),
        ("file:///etc/passwd", "https://"),
    ],
)
def test_a_url_that_hides_something_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as raised:
        parse_url(text)
    assert "pass@" not in raised.value.message


@given(st.text(max_size=60))
def test_hostile_urls_are_refused_or_lead_where_they_say(text: str) -> None:
    try:
        url = parse_url(f"https://{text}")
    except BadInput:
        return
    origin = origin_of(url)
    assert origin.scheme == "https"
    assert origin.host
    assert "@" not in origin.host
    assert 0 < origin.port < 65536


def test_within_knows_whole_parts_of_a_path() -> None:
    prefix = parse_url("https://a.example/search/")
    assert within(parse_url("https://a.example/search/x?y=1"), prefix)
    assert not within(parse_url("https://a.example/searching"), prefix)
    assert not within(parse_url("https://a.example:444/search/x"), prefix)
    assert within(parse_url("https://A.example/s/x"), parse_url("https://a.example/s"))
    climbed = parse_url("../admin", base=parse_url("https://a.example/search/x"))
    assert not within(climbed, prefix)
    assert climbed.path == "/admin"


async def _refused(call: Any, kind: str = "Refused") -> str:
    with pytest.raises(ApplicationError) as raised:
        await call
    assert raised.value.type == kind, raised.value.message
    return f"{raised.value.message}\n{raised.value.details[0].hint}"


async def test_a_name_that_leads_to_loopback_is_refused_by_the_real_resolver(
    make_actions: Callable[..., Any], service: Service
) -> None:
    from soar.actions.http.guard import system_resolver

    actions = make_actions(allow=[], resolver=system_resolver)
    said = await _refused(actions.get(url=f"https://localhost:{service.port}/"))
    assert "loopback" in said
    assert "SOAR_HTTP_ALLOW" in said
    assert service.asked == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
async def test_no_spelling_of_loopback_gets_through(
    host: str, make_actions: Callable[..., Any], service: Service
) -> None:
    from soar.actions.http.guard import system_resolver

    actions = make_actions(allow=[], resolver=system_resolver)
    await _refused(actions.get(url=f"https://{host}:{service.port}/"))
    assert service.asked == []


async def test_plain_http_is_refused_before_anything_is_resolved(actions: Any, names: Any) -> None:
    said = await _refused(actions.get(url="http://service.test/"))
    assert "without TLS" in said
    assert names.asked == []


async def test_a_name_that_turns_inward_after_the_check_is_refused(
    make_actions: Callable[..., Any], names: Any, service: Service
) -> None:
    """DNS rebinding: public while the plan is checked, loopback when the request goes out."""
    names.known["rebind.test"] = [["93.184.216.34"], ["127.0.0.1"]]
    actions = make_actions(allow=[f"http://other.test:{service.port}"])
    address = f"https://rebind.test:{service.port}/x"
    plan = await actions.plan(method="POST", url=address, json={"a": 1})
    said = await _refused(actions.apply(plan))
    assert "loopback" in said
    assert service.asked == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    make_actions: Callable[..., Any], names: Any, service: Service
) -> None:
    """Were the name resolved once more for the connection, it would come out at the other service."""
    with serve("127.0.0.2", port=service.port) as checked:
        checked.on("/", as_json({"where": "checked"}))
        service.on("/", as_json({"where": "elsewhere"}))
        names.known["service.test"] = [["127.0.0.2"], ["127.0.0.1"]]
        found = await make_actions().get(url=f"http://service.test:{service.port}/")
    assert found.data["json"] == {"where": "checked"}
    assert names.asked == ["service.test"]


async def test_of_several_addresses_only_the_allowed_ones_are_tried(
    make_actions: Callable[..., Any], names: Any, service: Service
) -> None:
    service.on("/", as_json({}))
    names.known["service.test"] = ["169.254.169.254", "127.0.0.1"]
    found = await make_actions().get(url=f"http://service.test:{service.port}/")
    assert found.data["status"] == 200


async def test_an_address_that_does_not_answer_gives_way_to_the_next(
    make_actions: Callable[..., Any], names: Any, service: Service
) -> None:
    service.on("/", as_json({}))
    names.known["service.test"] = ["127.0.0.9", "127.0.0.1"]
    found = await make_actions().get(url=f"http://service.test:{service.port}/")
    assert found.data["status"] == 200


async def test_a_redirect_to_an_inner_address_is_refused(
    actions: Any, names: Any, service: Service, other: Service, url: str
) -> None:
    names.known["inner.test"] = ["10.0.0.7"]
    names.known["loop.test"] = ["127.0.0.1"]
    for target, why in {
        "https://inner.test/x": "private",
        f"https://loop.test:{other.port}/x": "loopback",
        f"http://169.254.169.254:{other.port}/latest/meta-data": "without TLS",
        "https://169.254.169.254/latest/meta-data": "metadata",
        "file:///etc/passwd": "no usable address",
        "https://user:password@inner.test/": "no usable address",
    }.items():
        names.known.setdefault("169.254.169.254", ["169.254.169.254"])
        service.on("/", to(target))
        kind = "BadReply" if "usable" in why else "Refused"
        said = await _refused(actions.get(url=f"{url}/"), kind)
        assert why in said
        assert "password" not in said.replace("user name or password", "")
    assert other.asked == []


async def test_redirects_end(actions: Any, service: Service, url: str) -> None:
    service.on("/a", to("/b"))
    service.on("/b", to("/a"))
    said = await _refused(actions.get(url=f"{url}/a", redirects=3))
    assert "more than 3 times" in said
    assert service.paths() == ["/a", "/b", "/a", "/b"]


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
async def test_the_method_after_a_redirect_is_the_one_of_rfc_9110(
    status: int, method: str, make_actions: Callable[..., Any], service: Service, url: str
) -> None:
    service.on("/a", to("/b", status))
    service.on("/b", as_json({}))
    actions = make_actions(read_posts=[f"{url}/"])
    await actions.get(url=f"{url}/a", method="POST", reads=True, json={"q": 1})
    last = service.asked[-1]
    assert last.method == method
    assert last.body == (b'{"q":1}' if method == "POST" else b"")
    assert ("content-type" in last.headers) == (method == "POST")


async def test_a_body_is_not_sent_on_to_another_host(
    actions: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    service.on("/a", to(f"{other_url}/b", 307))
    plan = await actions.plan(method="PUT", url=f"{url}/a", json={"q": 1}, redirects=2)
    assert "not sent on" in await _refused(actions.apply(plan))
    assert other.asked == []


async def test_headers_that_are_meant_for_one_host_do_not_follow_to_another(
    actions: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    service.on("/a", to(f"{other_url}/b"))
    other.on("/b", as_json({}))
    found = await actions.get(url=f"{url}/a", headers={"X-Tenant": "acme", "Accept": "text/plain"})
    assert "x-tenant" in service.asked[0].headers
    assert "x-tenant" not in other.asked[0].headers
    assert other.asked[0].headers["accept"] == "text/plain"
    assert found.data["redirects"] == [f"{url}/a"]
    assert found.data["url"] == f"{other_url}/b"


async def test_proxies_and_credentials_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, actions: Any, service: Service, other: Service, url: str, other_url: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, other_url)
    service.on("/", as_json({}))
    await actions.get(url=f"{url}/")
    assert service.paths() == ["/"]
    assert other.asked == []
    assert "authorization" not in service.asked[0].headers


async def test_a_certificate_that_nobody_vouches_for_is_refused_and_said_what_to_do(
    make_actions: Callable[..., Any], own_ca: Authority
) -> None:
    with serve(tls=own_ca.context) as secure:
        secure.on("/", as_json({"secure": True}))
        allow = [f"service.test:{secure.port}", f"other.test:{secure.port}"]
        address = f"https://service.test:{secure.port}/"
        said = await _refused(make_actions(allow=allow).get(url=address))
        assert "certificate is not accepted" in said
        assert "SOAR_HTTP_CA_FILE" in said
        assert secure.asked == []
        trusting = make_actions(allow=allow, ca_file=own_ca.ca_file)
        assert (await trusting.get(url=address)).data["json"] == {"secure": True}
        said = await _refused(trusting.get(url=address.replace("service.test", "other.test")))
        assert "other.test" in said


async def test_a_slow_reply_by_tls_is_read_whole(make_actions: Callable[..., Any], own_ca: Authority) -> None:
    """It is read in slices of time; none of them may lose what TLS had begun to read."""
    import time

    def slow() -> Any:
        for _ in range(4):
            time.sleep(0.7)
            yield b"x" * 10_000

    with serve(tls=own_ca.context) as secure:
        secure.on("/", Answer(200, slow()))
        actions = make_actions(allow=[f"service.test:{secure.port}"], ca_file=own_ca.ca_file)
        found = await actions.get(url=f"https://service.test:{secure.port}/")
    assert found.data["text"] == "x" * 40_000


async def test_an_ipv6_address_can_be_allowed_and_spoken_to(make_actions: Callable[..., Any]) -> None:
    from soar.actions.http.guard import system_resolver

    with serve("::1") as service:
        service.on("/", as_json({"six": True}))
        address = f"http://[::1]:{service.port}/"
        actions = make_actions(allow=[address.rstrip("/")], resolver=system_resolver)
        assert (await actions.get(url=address)).data["json"] == {"six": True}
        assert service.asked[0].headers["host"] == f"[::1]:{service.port}"


async def test_a_port_that_speaks_no_tls_is_said_to_be_one(
    make_actions: Callable[..., Any], service: Service
) -> None:
    actions = make_actions(allow=[f"service.test:{service.port}"])
    said = await _refused(actions.get(url=f"https://service.test:{service.port}/"), "Unavailable")
    assert "no TLS connection" in said


async def test_what_cannot_be_reached_is_unavailable(make_actions: Callable[..., Any]) -> None:
    port = closed_port()
    actions = make_actions(allow=[f"service.test:{port}"])
    assert "connection" in await _refused(actions.get(url=f"https://service.test:{port}/"), "Unavailable")
    assert "resolved" in await _refused(actions.get(url="https://nowhere.test/"), "Unavailable")


async def test_a_service_that_never_answers_is_given_up(make_actions: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        actions = make_actions(allow=[f"http://service.test:{port}"])
        said = await _refused(actions.get(url=f"http://service.test:{port}/", timeout=0.5), "Unavailable")
        assert "in time" in said


async def test_a_reply_that_drips_is_bounded_by_the_whole_time(
    actions: Any, service: Service, url: str
) -> None:
    """Each byte comes well within any read timeout; only a limit on the whole ends it."""
    import time

    def drip() -> Any:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        while True:
            time.sleep(0.05)
            yield b"x"

    service.on("/body", Answer(raw=drip()))
    said = await _refused(actions.get(url=f"{url}/body", timeout=0.6), "Unavailable")
    assert "in time" in said

    def headers() -> Any:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            time.sleep(0.05)
            yield b"X-A: b\r\n"

    service.on("/headers", Answer(raw=headers()))
    assert "in time" in await _refused(actions.get(url=f"{url}/headers", timeout=0.6), "Unavailable")
