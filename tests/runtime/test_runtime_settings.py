"""Settings: read from the environment and from secret files, with errors that name the variable."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from soar.runtime.settings import (
    Settings,
    SettingsError,
    load_settings,
    settings_reference,
    unknown_variables,
)

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SOAR_", "SLACK_")):
            monkeypatch.delenv(name)


def test_defaults_live_under_the_home_folder(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert settings.database == f"sqlite+aiosqlite:///{tmp_path}/soar.db"
    assert settings.vault == (tmp_path / "vault").as_uri()
    assert settings.temporal_db_file == tmp_path / "temporal.db"
    assert settings.playbook_folders[0].name in ("playbooks", "_playbooks")
    assert settings.encryption_keys == {}
    assert not settings.temporal_uses_tls


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOAR_HOME", str(tmp_path))
    monkeypatch.setenv("SOAR_WEB_PORT", "9001")
    monkeypatch.setenv("SOAR_AWS_REGIONS", "eu-central-1, us-east-1")
    monkeypatch.setenv("SOAR_PLAYBOOKS", f"/a{os.pathsep}/b")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "shh")
    monkeypatch.setenv("SOAR_CODEC_KEYS", f"new:{KEY},old:{KEY}")
    settings = load_settings()
    assert settings.home == tmp_path
    assert settings.web_port == 9001
    assert settings.aws_regions == ("eu-central-1", "us-east-1")
    assert settings.playbook_folders == (Path("/a"), Path("/b"))
    assert settings.slack_bot_token is not None
    assert settings.slack_bot_token.get_secret_value() == "xoxb-1"
    assert list(settings.encryption_keys) == ["new", "old"]


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOAR_WEB_PORT", "")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "")
    settings = load_settings()
    assert settings.web_port == 8080
    assert settings.slack_bot_token is None


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("SOAR_DATABASE_URL", "database_url"),
        ("SOAR_TEMPORAL_API_KEY", "temporal_api_key"),
        ("SLACK_BOT_TOKEN", "slack_bot_token"),
    ],
)
def test_a_secret_can_be_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, field: str
) -> None:
    (tmp_path / "secret").write_text("s3cret-value\n")
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
    settings = load_settings()
    assert getattr(settings, field).get_secret_value() == "s3cret-value"
    assert "s3cret-value" in settings.secret_values()
    assert "s3cret-value" not in repr(settings)
    assert "s3cret-value" not in settings.model_dump_json()


def test_source_secrets_are_two_at_most_and_may_be_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gd").write_text("one,two\n")
    monkeypatch.setenv("SOAR_SOURCE_GUARDDUTY_SECRETS_FILE", str(tmp_path / "gd"))
    monkeypatch.setenv("SOAR_SOURCE_AZURE_MONITOR_SECRETS", "three")
    settings = load_settings()
    clear = {k: [s.get_secret_value() for s in v] for k, v in settings.source_secrets.items()}
    assert clear == {"guardduty": ["one", "two"], "azure_monitor": ["three"]}

    monkeypatch.setenv("SOAR_SOURCE_AZURE_MONITOR_SECRETS", "a,b,c")
    with pytest.raises(SettingsError, match="SOAR_SOURCE_AZURE_MONITOR_SECRETS"):
        load_settings()


@pytest.mark.parametrize(
    ("environ", "names", "says"),
    [
        ({"SOAR_WEB_PORT": "many"}, "SOAR_WEB_PORT", "integer"),
        ({"SOAR_WEB_PORT": "70000"}, "SOAR_WEB_PORT", "65535"),
        ({"SOAR_LOG_FORMAT": "xml"}, "SOAR_LOG_FORMAT", "'text' or 'json'"),
        ({"SOAR_TEMPORAL_ADDRESS": "temporal"}, "SOAR_TEMPORAL_ADDRESS", "port"),
        ({"SOAR_TEMPORAL_TLS_CERT": "/c.pem"}, "SOAR_TEMPORAL_TLS_CERT", "SOAR_TEMPORAL_TLS_KEY"),
        ({"SLACK_APP_TOKEN": "xapp-1"}, "SLACK_APP_TOKEN", "SLACK_BOT_TOKEN"),
        ({"SOAR_AWS_ROLE_TEMPLATE": "arn:aws:iam::1:role/x"}, "SOAR_AWS_ROLE_TEMPLATE", "{account}"),
        ({"SOAR_CODEC_KEYS": "k1:QUJD"}, "SOAR_CODEC_KEYS", "needs 32"),
        ({"SOAR_CODEC_KEYS": "k1:!!"}, "SOAR_CODEC_KEYS", "base64"),
        ({"SOAR_CODEC_KEYS": "k1"}, "SOAR_CODEC_KEYS", "id:base64"),
        ({"SOAR_CODEC_KEYS": f"k1:{KEY},k1:{KEY}"}, "SOAR_CODEC_KEYS", "two keys"),
        ({"SLACK_BOT_TOKEN_FILE": "/nowhere/at/all"}, "SLACK_BOT_TOKEN_FILE", "No such file"),
    ],
)
def test_errors_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], names: str, says: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [name for name, _ in caught.value.problems] == [names]
    assert says in str(caught.value)


def test_an_error_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOAR_CODEC_KEYS", "k1:c2VjcmV0LWtleQ==")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_empty_secret_file_is_refused_but_for_slack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("SLACK_APP_TOKEN_FILE", str(tmp_path / "empty"))
    assert load_settings().slack_app_token is None
    monkeypatch.setenv("SOAR_CODEC_KEYS_FILE", str(tmp_path / "empty"))
    with pytest.raises(SettingsError, match=r"SOAR_CODEC_KEYS_FILE: .* is empty"):
        load_settings()


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_BOT_TOKEN_FILE", str(tmp_path / "s"))
    with pytest.raises(SettingsError, match="SLACK_BOT_TOKEN: is set, and so is SLACK_BOT_TOKEN_FILE"):
        load_settings()


def test_misspelt_variables_are_found() -> None:
    assert unknown_variables({"SOAR_WEB_PROT": "1", "SOAR_HOME": "x", "PATH": "y"}) == [
        ("SOAR_WEB_PROT", "SOAR_WEB_PORT")
    ]
    assert unknown_variables({"SOAR_SOURCE_GUARDDUTY_SECRETS": "1", "SOAR_DATABASE_URL_FILE": "x"}) == []


def test_the_reference_names_every_setting() -> None:
    reference = settings_reference()
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
    for variable in ("SOAR_HOME", "SLACK_BOT_TOKEN_FILE", "SOAR_SOURCE_NAME_SECRETS", "SOAR_TEMPORAL_TLS_CA"):
        assert f"`{variable}`" in reference
    assert reference.count("\n") == len(Settings.model_fields) + 2
