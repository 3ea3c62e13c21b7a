"""The named secrets of HTTP actions, as the operator gives them: by variables, by files, or in one YAML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from soar.actions.http.addresses import host_and_port

__all__ = ["HTTP_SECRET", "HttpSecret", "read_http_secrets"]

HTTP_SECRET = re.compile(r"^SOAR_HTTP_SECRET_([A-Z][A-Z0-9_]*?)(_HOSTS|_FILE)?$")
FILE = "SOAR_HTTP_SECRETS_FILE"
SHORTEST = 8
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")


class HttpSecret(BaseModel):
    """A secret, and where it may be sent.

    Args:
        hosts: `host`, for port 443, or `host:port`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    value: SecretStr
    hosts: tuple[str, ...] = Field(min_length=1)

    @field_validator("value")
    @classmethod
    def _can_be_sent(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) < SHORTEST:
            raise ValueError(f"is shorter than {SHORTEST} characters: it could not be kept out of texts")
        if not text.isprintable():
            raise ValueError("holds line breaks or control characters")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            host_and_port(host)
        return hosts

    @property
    def places(self) -> frozenset[tuple[str, int]]:
        """Host and port of each place."""
        found = (host_and_port(host) for host in self.hosts)
        return frozenset((host, 443 if port is None else port) for host, port in found)


def read_http_secrets(
    environ: Mapping[str, str], read: Callable[[str], str | None], problems: list[tuple[str, str]]
) -> dict[str, HttpSecret]:
    """Collect the secrets; what is wrong with them is added to `problems`, and never holds a value.

    Args:
        read: Gives a variable's value, or what the file holds that `<variable>_FILE` names.
    """
    raw: dict[str, tuple[str, Any]] = {}
    file = environ.get(FILE, "")
    if file:
        for name, entry in _from_file(file, problems).items():
            raw[name] = (f"{FILE}: {name}", entry)
    for name in sorted({match[1] for variable in environ if (match := HTTP_SECRET.match(variable))}):
        variable = f"SOAR_HTTP_SECRET_{name}"
        value, hosts = read(variable), environ.get(f"{variable}_HOSTS", "")
        if name.lower() in raw:
            problems.append((variable, f"is in {file} too: give it once"))
        elif value is None:
            if hosts:
                problems.append((variable, f"is not set, but {variable}_HOSTS is"))
        elif not hosts:
            problems.append(
                (f"{variable}_HOSTS", "is not set: name the hosts that the secret may be sent to")
            )
        else:
            listed = [host.strip() for host in hosts.split(",") if host.strip()]
            raw[name.lower()] = (variable, {"value": value, "hosts": listed})
    found: dict[str, HttpSecret] = {}
    for name, (where, entry) in raw.items():
        try:
            found[name] = HttpSecret.model_validate(entry)
        except ValidationError as error:
            for problem in error.errors(include_input=False):
                part = ".".join(map(str, problem["loc"]))
                why = str(problem["msg"]).removeprefix("Value error, ")
                problems.append((where, f"{part}: {why}" if part else why))
    return found


def _from_file(file: str, problems: list[tuple[str, str]]) -> dict[str, Any]:
    """Read `name: {value: …, hosts: […]}`. An empty file holds none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        problems.append((FILE, f"cannot read {file}: {error.strerror}"))
        return {}
    except (YAMLError, ValueError, RecursionError) as error:
        # The error's own text quotes the file, and so a secret.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        problems.append((FILE, f"{file} is not YAML{where}"))
        return {}
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(n, str) and _NAME.match(n) for n in found):
        problems.append((FILE, f"{file} must map names (a-z, 0-9, _) to {{value: …, hosts: […]}}"))
        return {}
    return found
