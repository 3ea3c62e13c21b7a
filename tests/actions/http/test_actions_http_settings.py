"""How the operator gives secrets and opens addresses, and that the worker gets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soar.actions.http.client import HttpAccess
from soar.actions.http.outgoing import Outgoing
from soar.actions.http.params import Auth
from soar.actions.http.urls import parse_url
from soar.runtime.parts import Core
from soar.runtime.settings import SettingsError, load_settings, settings_reference, unknown_variables
from soar.runtime.worker import HTTP_QUEUE, action_services, known_queues

VALUE = "sesame-open-12345"


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SOAR_HTTP_{name}", value)


def test_secrets_come_from_variables_files_and_one_yaml_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jira").write_text("robot:" + VALUE + "\n")
    (tmp_path / "all.yaml").write_text(
        f"splunk_1:\n  value: {VALUE}-s\n  hosts: ['siem.internal:8089', 10.1.2.3]\n"
    )
    _set(
        monkeypatch,
        SECRET_CRM=VALUE,
        SECRET_CRM_HOSTS="api.example.com, API2.example.com:8443",
        SECRET_JIRA_FILE=str(tmp_path / "jira"),
        SECRET_JIRA_HOSTS="acme.atlassian.net",
        SECRETS_FILE=str(tmp_path / "all.yaml"),
    )
    settings = load_settings()
    assert {n: s.value.get_secret_value() for n, s in settings.http_secrets.items()} == {
        "crm": VALUE,
        "jira": f"robot:{VALUE}",
        "splunk_1": f"{VALUE}-s",
    }
    assert settings.http_secrets["crm"].places == {("api.example.com", 443), ("api2.example.com", 8443)}
    assert settings.http_secrets["splunk_1"].places == {("siem.internal", 8089), ("10.1.2.3", 443)}
    assert VALUE not in repr(settings)
    assert {VALUE, f"robot:{VALUE}", f"{VALUE}-s"} <= set(settings.secret_values())
    assert (
        unknown_variables(
            {"SOAR_HTTP_SECRET_CRM": "", "SOAR_HTTP_SECRET_CRM_HOSTS": "", "SOAR_HTTP_ALLOW": ""}
        )
        == []
    )
    assert [n for n, _ in unknown_variables({"SOAR_HTTP_ALOW": ""})] == ["SOAR_HTTP_ALOW"]


def test_an_empty_file_of_secrets_holds_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("")
    _set(monkeypatch, SECRETS_FILE=str(tmp_path / "all.yaml"))
    assert load_settings().http_secrets == {}


@pytest.mark.parametrize(
    ("variables", "named", "why"),
    [
        ({"SECRET_A": VALUE}, "SOAR_HTTP_SECRET_A_HOSTS", "is not set"),
        ({"SECRET_A_HOSTS": "a.example"}, "SOAR_HTTP_SECRET_A", "is not set"),
        ({"SECRET_A": "short", "SECRET_A_HOSTS": "a"}, "SOAR_HTTP_SECRET_A", "shorter than 8"),
        ({"SECRET_A": f"{VALUE}\nx", "SECRET_A_HOSTS": "a"}, "SOAR_HTTP_SECRET_A", "line breaks"),
        (
            {"SECRET_A": VALUE, "SECRET_A_HOSTS": "https://a/b"},
            "SOAR_HTTP_SECRET_A",
            "neither host nor host:port",
        ),
        ({"SECRET_A": VALUE, "SECRET_A_HOSTS": "*"}, "SOAR_HTTP_SECRET_A", "neither host nor host:port"),
        ({"SECRET_A": VALUE, "SECRET_A_HOSTS": ","}, "SOAR_HTTP_SECRET_A", "at least 1"),
        ({"SECRET_A_FILE": "/nowhere/x", "SECRET_A_HOSTS": "a"}, "SOAR_HTTP_SECRET_A_FILE", "cannot read"),
        ({"ALLOW": "everything"}, "SOAR_HTTP_ALLOW", "neither host:port"),
        ({"SECRETS_FILE": "/nowhere/x"}, "SOAR_HTTP_SECRETS_FILE", "cannot read"),
    ],
)
def test_what_cannot_be_used_is_named_and_not_repeated(
    variables: dict[str, str], named: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, **variables)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert named in {name for name, _ in raised.value.problems}
    assert why in str(raised.value)
    assert VALUE not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        f"a: {VALUE}",
        f"- {VALUE}",
        f"A B: {{value: {VALUE}}}",
        f"a: {{value: {VALUE}}}",
        f"a: [{VALUE}",
        f"{VALUE}",
        f"a: {{value: {VALUE}, hosts: [a], x: 1}}",
        f"a: {{value: {VALUE}, hosts: a}}",
        f"a: &x {{value: {VALUE}}}\nb: *y",
    ],
)
def test_a_wrong_file_of_secrets_is_not_quoted(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "all.yaml").write_text(text)
    _set(monkeypatch, SECRETS_FILE=str(tmp_path / "all.yaml"))
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "SOAR_HTTP_SECRETS_FILE" in str(raised.value)
    assert VALUE not in str(raised.value)


def test_a_secret_is_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"a: {{value: {VALUE}, hosts: [a.example]}}")
    _set(monkeypatch, SECRETS_FILE=str(tmp_path / "all.yaml"), SECRET_A=VALUE, SECRET_A_HOSTS="b.example")
    with pytest.raises(SettingsError, match="give it once"):
        load_settings()


class _Core:
    """As much of a `Core` as choosing services reads."""

    def __init__(self, settings: Any) -> None:
        self.settings, self.vault = settings, None


def _core() -> Core:
    found: Any = _Core(load_settings())
    return found  # type: ignore[no-any-return]


def test_the_worker_of_the_queue_http_alone_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert HTTP_QUEUE in known_queues()
    _set(
        monkeypatch,
        SECRET_CRM=VALUE,
        SECRET_CRM_HOSTS="127.0.0.1:9",
        ALLOW="127.0.0.1",
        READ_POSTS="https://a/b",
    )
    access = action_services(_core(), HTTP_QUEUE).get(HttpAccess)
    access.check(Outgoing("GET", parse_url("https://127.0.0.1:9/")), Auth(secret="crm"))
    assert access.reads_by_post(parse_url("https://a/b/c"))
    from soar.actions.errors import ActionError

    with pytest.raises(ActionError, match="this worker has no HttpAccess"):
        action_services(_core(), "aws").get(HttpAccess)


@pytest.mark.parametrize(
    "variables", [{"READ_POSTS": "ftp://a"}, {"CA_FILE": "/nowhere/ca.pem"}, {"CA_FILE": "/dev/null"}]
)
def test_a_worker_says_what_it_cannot_use(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, **variables)
    with pytest.raises(SettingsError, match="SOAR_HTTP_"):
        action_services(_core(), HTTP_QUEUE)


def test_the_reference_names_them() -> None:
    text = settings_reference()
    for name in (
        "SOAR_HTTP_SECRET_NAME` or `SOAR_HTTP_SECRET_NAME_FILE",
        "SOAR_HTTP_SECRETS_FILE",
        "SOAR_HTTP_ALLOW",
    ):
        assert f"`{name}`" in text
