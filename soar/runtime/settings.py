"""Every setting of the system, read from the environment.

Names begin with `SOAR_`, but for Slack's three, which are called what Slack calls them. Each secret can also be
given as `<NAME>_FILE`, the path of a file that holds it (a Docker or Kubernetes secret). Nothing is read from a
`.env` file. Secrets are `SecretStr`, so printing the settings shows none.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from soar.actions.http.addresses import AllowList
from soar.playbook.cacao.work import CacaoSettings
from soar.playbook.fields import RoleName
from soar.runtime.http_secrets import HTTP_SECRET, HttpSecret, read_http_secrets
from soar.sources.sns import TOPIC

__all__ = ["Settings", "SettingsError", "load_settings", "settings_reference", "shipped_playbooks"]

PREFIX = "SOAR_"
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SOURCE_SECRETS = re.compile(r"^SOAR_SOURCE_([A-Z][A-Z0-9_]*?)_SECRETS(_FILE)?$")
_SOURCE_SECRETS_DOC = (
    "What the source's webhook deliveries are authenticated with, comma separated: up to two are valid at once, "
    "so that one can be rotated without losing an alert. NAME is the source's name, GUARDDUTY."
)

_HTTP_SECRETS_DOC = (
    "A secret that HTTP actions name in `auth`. NAME is its name, in capitals. SOAR_HTTP_SECRET_NAME_HOSTS lists, "
    "comma separated, the only hosts (`host` for port 443, or `host:port`) that it is sent to. A pair is written "
    "`user:password`."
)

_CLIENT_VARIABLES = ("SOAR_URL", "SOAR_TOKEN", "SOAR_DEBUG")
"""What the command line reads as a client."""


class SettingsError(Exception):
    """Settings that cannot be used. The message names each variable and what is wrong with it.

    Args:
        problems: `(variable, what is wrong)`.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{name}: {why}" for name, why in problems))


def _split(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return BeforeValidator(split)


Words = Annotated[tuple[str, ...], NoDecode, _split(",")]
Folders = Annotated[tuple[Path, ...], NoDecode, _split(os.pathsep)]


def _alias(name: str) -> AliasChoices:
    return AliasChoices(name.lower(), name)


class Settings(BaseSettings):
    """What the operator decides. Load with `load_settings`, which says plainly what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        validate_default=False,
    )

    home: Path = Field(
        Path(".soar"), description="The folder for everything that is kept when nothing else is set."
    )
    database_url: SecretStr | None = Field(
        None,
        description="The store, as an SQLAlchemy URL: `postgresql+asyncpg://…` in production. "
        "Default: SQLite in the home folder.",
    )
    vault_url: str = Field(
        "",
        description="Where evidence is kept: `file:///folder` or `s3://bucket/prefix`. Default: the home folder.",
    )
    playbooks: Folders = Field(
        (), description=f"Folders of playbooks, separated by `{os.pathsep}`. Default: the ones that ship."
    )
    policy_file: Path | None = Field(None, description="The organisation's policy and roster, a YAML file.")

    playbook_inputs: Path | None = Field(
        None, description="Values for playbooks' inputs, a YAML file: `playbook: {input: value}`."
    )

    cacao_role: RoleName = Field(
        "incident-commander", description="Who does the `manual` steps of CACAO playbooks, a role."
    )
    cacao_roles: Words = Field(
        (),
        description="Who does them instead, by the name or the id of the step's agent: `Network team=network`; "
        "comma separated.",
    )

    cacao_shell: bool = Field(
        False, description="Whether `ssh` and `bash` commands of CACAO playbooks are imported, as `ssh.run`."
    )

    web_host: str = Field("127.0.0.1", description="The address that the web app listens on.")
    web_port: int = Field(8080, ge=0, le=65535, description="Its port; 0 takes a free one.")
    public_url: str = Field(
        "", description="How people and sources reach the web app from outside, `https://soar.example.com`."
    )

    temporal_address: str = Field(
        "", description="`host:port` of an existing Temporal. Unset: `soar up` starts an embedded server."
    )
    temporal_namespace: str = Field("default", min_length=1, description="The Temporal namespace.")
    temporal_tls: bool = Field(
        False, description="Speak TLS to Temporal. Also switched on by a certificate, a CA or an API key."
    )
    temporal_tls_cert: Path | None = Field(None, description="Client certificate for mTLS, a PEM file.")
    temporal_tls_key: Path | None = Field(
        None, description="Private key of the client certificate, a PEM file."
    )
    temporal_tls_ca: Path | None = Field(
        None, description="CA that signed the server's certificate, a PEM file."
    )
    temporal_tls_server_name: str = Field(
        "", description="The name in the server's certificate, if not the host's."
    )
    temporal_api_key: SecretStr | None = Field(None, description="API key for Temporal Cloud.")
    temporal_port: int | None = Field(
        None, ge=1, le=65535, description="Port of the embedded server. Unset: a free one."
    )
    temporal_ui_port: int | None = Field(
        None, ge=1, le=65535, description="Port of the embedded server's UI. Unset: a free one."
    )
    temporal_synchronous: Literal[1, 2] = Field(
        1,
        description="SQLite's `synchronous` of the embedded server: 1 survives a killed process, "
        "2 also a power loss, slower.",
    )
    sticky_timeout: float = Field(
        2, gt=0, le=60, description="Seconds until an incident moves away from a worker that is gone."
    )
    graceful_timeout: float = Field(
        30, ge=0, le=600, description="Seconds that running activities get when a worker is stopped."
    )
    codec_keys: SecretStr | None = Field(
        None,
        description="Keys that encrypt what Temporal keeps: `id:base64 of 32 bytes`, comma separated. "
        "The first encrypts, all decrypt. Unset: not encrypted.",
    )
    codec_accept_plaintext: bool = Field(
        False,
        description="Read unencrypted payloads too: only while a running system is switched to encryption.",
    )

    aws_role_template: str = Field(
        "",
        description="The role to assume in an incident's account, `arn:aws:iam::{account}:role/soar-responder`. "
        "Unset: the worker's own credentials.",
    )
    aws_endpoint_url: str = Field(
        "", description="Another endpoint for every AWS service: the simulated account."
    )
    aws_regions: Words = Field((), description="Regions that actions may touch, comma separated. Unset: any.")
    aws_external_id: SecretStr | None = Field(
        None, description="The external id that the trust policies of the responder roles ask for."
    )
    aws_accounts: Words = Field(
        (),
        description="Accounts that actions may touch beside the worker's own, and that org-wide actions go through; "
        "comma separated. Unset: any, and org-wide actions ask AWS Organizations.",
    )

    sns_topics: Words = Field(
        (),
        description="Topics of Amazon SNS whose signed messages are taken without a secret, ARNs; comma separated. "
        "A subscription of one of them is confirmed by itself.",
    )

    http_allow: Words = Field(
        (),
        description="Where HTTP actions may go beside public addresses by https: `host:port`, `http://host:port` "
        "(without TLS), or a network `10.20.0.0/16`; comma separated.",
    )
    http_read_posts: Words = Field(
        (),
        description="URLs at and below which a POST changes nothing, so that `http.get` may send it; comma separated.",
    )
    http_ca_file: Path | None = Field(
        None, description="CA certificates that HTTP actions trust beside the usual ones, a PEM file."
    )
    http_secrets_file: Path | None = Field(
        None,
        description="Secrets of HTTP actions, a YAML file: `name: {value: …, hosts: [api.example.com]}`.",
    )

    ssh_hosts: Words = Field(
        (),
        description="Where `ssh.run` may run commands: names (with `*`), addresses and networks, comma separated. "
        "Empty: nowhere.",
    )
    ssh_known_hosts: Path | None = Field(
        None, description="The keys of those hosts, as OpenSSH writes them; a host without one is refused."
    )
    ssh_user: str = Field("soar", min_length=1, description="Who we are there, where a step names no login.")
    ssh_key_file: Path | None = Field(None, description="The private key of that user, a file.")
    ssh_logins: Words = Field(
        (),
        description="Further logins that steps can name: `db=dbadmin@/run/secrets/db_key`, a name, the user and the "
        "file of the private key; comma separated.",
    )

    slack_bot_token: SecretStr | None = Field(
        None, validation_alias=_alias("SLACK_BOT_TOKEN"), description="Slack bot token, `xoxb-…`."
    )
    slack_app_token: SecretStr | None = Field(
        None,
        validation_alias=_alias("SLACK_APP_TOKEN"),
        description="Slack app-level token, `xapp-…`: interactions arrive by Socket Mode.",
    )
    slack_signing_secret: SecretStr | None = Field(
        None,
        validation_alias=_alias("SLACK_SIGNING_SECRET"),
        description="Slack signing secret: interactions arrive by HTTP.",
    )
    chat: bool | None = Field(
        None,
        description="Whether a worker of the queue `chat` runs somewhere. Unset: if this process has a Slack secret.",
    )
    slack_base_url: str = Field(
        "https://slack.com/api/", description="Slack's Web API, or a compatible server's."
    )
    slack_channel: str = Field(
        "", description="The main channel, a name or an id: new incidents are announced there."
    )
    slack_app_id: str = Field(
        "", description="The Slack app that clicks must come from. Unset: not checked beyond the signature."
    )

    log_format: Literal["text", "json"] = Field(
        "text", description="`text` is key=value, `json` one object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )

    health_file: Path | None = Field(
        None, description="A file that a worker touches while it can reach Temporal, for its health check."
    )

    source_secrets: dict[str, tuple[SecretStr, ...]] = Field({}, description=_SOURCE_SECRETS_DOC)
    http_secrets: dict[str, HttpSecret] = Field({}, description=_HTTP_SECRETS_DOC)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values given in code, then the environment, then the files that it names."""
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, _from_files_and_sources(os.environ)),
        )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.temporal_tls_cert is None) != (self.temporal_tls_key is None):
            raise ValueError(
                "SOAR_TEMPORAL_TLS_CERT and SOAR_TEMPORAL_TLS_KEY are set together or not at all"
            )
        if self.temporal_address and ":" not in self.temporal_address:
            raise ValueError("SOAR_TEMPORAL_ADDRESS needs a port: write host:7233")
        if self.aws_role_template and "{account}" not in self.aws_role_template:
            raise ValueError("SOAR_AWS_ROLE_TEMPLATE must contain {account}, where the account's number goes")
        for topic in self.sns_topics:
            if not TOPIC.fullmatch(topic):
                raise ValueError(
                    f"SOAR_SNS_TOPICS: {topic[:100]!r} is no ARN of a topic; "
                    "write arn:aws:sns:eu-central-1:111122223333:alerts"
                )
        for account in self.aws_accounts:
            if not re.fullmatch(r"[0-9]{12}", account):
                raise ValueError(f"SOAR_AWS_ACCOUNTS: {account[:60]!r} is not a number of 12 digits")
        external_id = self.aws_external_id.get_secret_value() if self.aws_external_id else "unset"
        if not re.fullmatch(r"[A-Za-z0-9_+=,.@:/-]{2,1224}", external_id):
            raise ValueError("SOAR_AWS_EXTERNAL_ID: AWS takes 2 to 1224 letters, digits and _+=,.@:/-")
        if self.slack_app_token and not self.slack_bot_token:
            raise ValueError("SLACK_APP_TOKEN is set but SLACK_BOT_TOKEN is not: both are needed")
        for name, secrets in self.source_secrets.items():
            if len(secrets) > 2:
                raise ValueError(f"SOAR_SOURCE_{name.upper()}_SECRETS holds more than two secrets")
        try:
            AllowList(self.http_allow)
        except ValueError as error:
            raise ValueError(f"SOAR_HTTP_ALLOW: {error}") from None
        _ = self.encryption_keys
        _ = self.cacao
        return self

    @property
    def database(self) -> str:
        """The store's URL, with its password: never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.home.absolute() / 'soar.db'}"

    @property
    def vault(self) -> str:
        """The vault's URL."""
        return self.vault_url or (self.home.absolute() / "vault").as_uri()

    @property
    def temporal_db_file(self) -> Path:
        """Where the embedded Temporal server keeps its state."""
        return self.home.absolute() / "temporal.db"

    @property
    def playbook_folders(self) -> tuple[Path, ...]:
        """Where playbooks are loaded from."""
        return self.playbooks or (shipped_playbooks(),)

    @property
    def cacao(self) -> CacaoSettings:
        """What holds for playbooks that come from elsewhere."""
        roles: dict[str, str] = {}
        for pair in self.cacao_roles:
            agent, equals, role = pair.rpartition("=")
            if not equals or not agent.strip() or not _ROLE.fullmatch(role.strip()):
                raise ValueError(f"SOAR_CACAO_ROLES: {pair[:60]!r}: write the agent, = and a role")
            roles[agent.strip()] = role.strip()
        return CacaoSettings(manual_role=self.cacao_role, roles=roles, shell=self.cacao_shell)

    @property
    def temporal_uses_tls(self) -> bool:
        """Whether the connection to Temporal is encrypted."""
        return self.temporal_tls or bool(
            self.temporal_tls_cert or self.temporal_tls_ca or self.temporal_api_key
        )

    @property
    def sticky(self) -> timedelta:
        """`sticky_timeout` as a duration."""
        return timedelta(seconds=self.sticky_timeout)

    @property
    def graceful(self) -> timedelta:
        """`graceful_timeout` as a duration."""
        return timedelta(seconds=self.graceful_timeout)

    @property
    def encryption_keys(self) -> dict[str, bytes]:
        """The codec's keys by id, the one that encrypts first; empty without encryption."""
        return parse_codec_keys(self.codec_keys.get_secret_value()) if self.codec_keys else {}

    @property
    def has_chat(self) -> bool:
        """Whether incidents are shown in a chat."""
        if self.chat is not None:
            return self.chat
        return bool(self.slack_bot_token or self.slack_signing_secret)

    def secret_values(self) -> tuple[str, ...]:
        """Every secret in clear, for the log to redact."""
        found = [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]
        found += [s.get_secret_value() for secrets in self.source_secrets.values() for s in secrets]
        for secret in self.http_secrets.values():
            whole = secret.value.get_secret_value()
            found += [whole, whole.partition(":")[2]]
        return tuple(value for value in found if value)


def parse_codec_keys(text: str) -> dict[str, bytes]:
    """Read `id:base64,id:base64`. The messages never repeat a key."""
    keys: dict[str, bytes] = {}
    for place, part in enumerate((p.strip() for p in text.split(",") if p.strip()), start=1):
        key_id, colon, encoded = part.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", key_id):
            raise ValueError(f"SOAR_CODEC_KEYS: key {place} is not of the form id:base64")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError(f"SOAR_CODEC_KEYS: key {key_id} is not valid base64") from None
        if len(key) != 32:
            raise ValueError(
                f"SOAR_CODEC_KEYS: key {key_id} has {len(key)} bytes and needs 32 (openssl rand -base64 32)"
            )
        if key_id in keys:
            raise ValueError(f"SOAR_CODEC_KEYS: two keys have the id {key_id}")
        keys[key_id] = key
    return keys


def shipped_playbooks() -> Path:
    """The folder of the playbooks that ship: in the package when installed, else beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_playbooks"
    return installed if installed.is_dir() else package.parent / "playbooks"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: Values by field name that win over the environment.

    Raises:
        SettingsError: One or more cannot be used; the message names each variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError([_problem(dict(e)) for e in error.errors(include_input=False)]) from None


def unknown_variables(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Find `SOAR_` variables that nothing reads, most likely misspelt.

    Returns:
        `(variable, the nearest known one or an empty string)`.
    """
    known = set(_CLIENT_VARIABLES)
    for name, field in Settings.model_fields.items():
        known.add(_variable(name))
        if _is_secret(field):
            known.add(_variable(name) + "_FILE")
    unknown = sorted(
        n
        for n in environ
        if n.startswith(PREFIX)
        and n not in known
        and not _SOURCE_SECRETS.match(n)
        and not HTTP_SECRET.match(n)
    )
    return [(n, next(iter(difflib.get_close_matches(n, sorted(known), 1, 0.8)), "")) for n in unknown]


def settings_reference() -> str:
    """The reference of all settings as a Markdown table, generated from the declarations."""
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        variable, what = _variable(name), (field.description or "").replace("|", "\\|")
        if name == "source_secrets":
            variable = "SOAR_SOURCE_NAME_SECRETS"
        if name == "http_secrets":
            variable = "SOAR_HTTP_SECRET_NAME"
        if _is_secret(field) or name in ("source_secrets", "http_secrets"):
            variable, what = f"{variable}` or `{variable}_FILE", f"{what} Secret."
        lines.append(f"| `{variable}` | {_default(field)} | {what} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value in (None, "", (), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _variable(field_name: str) -> str:
    alias = Settings.model_fields[field_name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[-1])
    return PREFIX + field_name.upper()


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _from_files_and_sources(environ: Mapping[str, str]) -> dict[str, Any]:
    """Collect the secrets that are given as files, and the secrets of the sources."""
    values: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []

    def read(variable: str) -> str | None:
        """The value of a variable, or what the file holds that `<variable>_FILE` names."""
        direct, file = environ.get(variable, ""), environ.get(f"{variable}_FILE", "")
        if direct and file:
            problems.append((variable, f"is set, and so is {variable}_FILE: set one of them"))
        elif file:
            try:
                text = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                problems.append((f"{variable}_FILE", f"cannot read {file}: {reason}"))
                return None
            if not text and not variable.startswith("SLACK_"):  # Slack's are alternatives: one may stay empty
                problems.append((f"{variable}_FILE", f"{file} is empty"))
            return text
        return direct or None

    for name, field in Settings.model_fields.items():
        if _is_secret(field) and (text := read(_variable(name))):
            values[name] = text
    names = {match[1] for variable in environ if (match := _SOURCE_SECRETS.match(variable))}
    sources = {n: read(f"SOAR_SOURCE_{n}_SECRETS") for n in sorted(names)}
    values["source_secrets"] = {
        n.lower(): tuple(part.strip() for part in text.split(",") if part.strip())
        for n, text in sources.items()
        if text
    }
    values["http_secrets"] = read_http_secrets(environ, read, problems)
    if problems:
        raise SettingsError(problems)
    return values


def _problem(error: dict[str, Any]) -> tuple[str, str]:
    """Turn one of pydantic's errors into `(variable, what is wrong)`; the value itself is never shown."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        variable, colon, rest = message.partition(": ")
        if colon and variable.isupper():
            return variable, rest
        return message.split(" ", 1)[0], message.split(" ", 1)[1]
    name = str(error["loc"][0])
    field = next(
        (f for f in Settings.model_fields if f == name.lower() or _variable(f) == name.upper()), None
    )
    return (_variable(field) if field else name), message
