"""docker-compose.yml: valid by the Compose specification, and keeps what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from soar.playbook.policy import load_policy
from soar.runtime.settings import Settings, unknown_variables
from soar.runtime.worker import known_queues

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"migrate", "web", "worker-orchestrator", "worker-aws", "worker-http", "worker-chat"}
JOBS = {"temporal-schema", "temporal-namespace", "migrate"}
SLACK = {"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"}

each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_of_ours = pytest.mark.parametrize("name", sorted(OURS))


def environment(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in SERVICES[name].get("environment", {}).items()}


def test_is_valid_by_the_compose_specification() -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "docker-compose.yml",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


@each_service
def test_the_image_is_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?([.-][\w.-]+)?", tag), SERVICES[name]["image"]


def test_the_base_image_is_pinned_and_the_same_in_every_stage() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])


@each_service
def test_runs_without_privileges(name: str) -> None:
    service = SERVICES[name]
    uid = int(service["user"].partition(":")[0])
    assert uid > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("read_only") or name == "temporal-ui"


@each_service
def test_restarts_and_is_watched(name: str) -> None:
    service = SERVICES[name]
    if name in JOBS:
        assert service["restart"].startswith("on-failure")
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert service["logging"]["options"]["max-size"]


@each_service
def test_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed in JOBS else "service_healthy"
        assert how["condition"] == expected
        assert needed in JOBS or "healthcheck" in SERVICES[needed]


def test_the_order_of_the_start() -> None:
    def before(name: str) -> set[str]:
        direct = set(SERVICES[name].get("depends_on", {}))
        return direct.union(*(before(other) for other in direct)) if direct else direct

    assert before("temporal") == {"postgresql", "temporal-schema"}
    for name in OURS - JOBS:
        assert {"temporal", "temporal-namespace", "migrate", "postgresql"} <= before(name)


@each_service
def test_secrets_are_files_that_the_service_was_given(name: str) -> None:
    given = set(SERVICES[name].get("secrets", []))
    assert given <= COMPOSE["secrets"].keys()
    named = set()
    for key, value in environment(name).items():
        if value.startswith("/run/secrets/"):
            assert key.endswith("_FILE")
            named.add(value.removeprefix("/run/secrets/"))
        else:
            assert not re.search(r"PASSWORD|PWD|TOKEN|SECRET|KEYS?$|API_KEY|DATABASE_URL", key), key
    assert named <= given
    if name in OURS:
        assert named == given


def test_every_secret_is_a_file_and_is_made_by_the_script() -> None:
    script = (ROOT / "deploy/init-secrets.sh").read_text()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"deploy/secrets/{name}"}
        assert re.search(rf"\b{name}\b", script)
        assert any(name in service.get("secrets", []) for service in SERVICES.values())


@each_of_ours
def test_every_setting_exists(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {k: v for k, v in environment(name).items() if k.startswith(("SOAR_", "SLACK_"))}
    assert unknown_variables(ours) == []
    slack = {key.removesuffix("_FILE") for key in ours if key.startswith("SLACK_")}
    assert slack <= SLACK
    for key, value in ours.items():
        plain = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        if not key.endswith("_FILE") or key in ("SOAR_POLICY_FILE", "SOAR_HEALTH_FILE"):
            monkeypatch.setenv(key, plain)
    Settings()


def test_credentials_go_only_where_they_are_used() -> None:
    def holders(prefix: str) -> set[str]:
        return {n for n in SERVICES if any(k.startswith(prefix) for k in environment(n))}

    assert holders("AWS_") == {"worker-aws"}
    assert holders("SOAR_AWS_") == {"worker-aws"}
    assert holders("SOAR_HTTP_") == {"worker-http"}
    assert holders("SOAR_SSH_") == {"worker-ssh"}
    assert holders("SLACK_BOT_TOKEN") == holders("SLACK_APP_TOKEN") == {"worker-chat"}
    assert holders("SLACK_SIGNING_SECRET") == {"web"}
    assert holders("SOAR_SOURCE_") == {"web"}
    for name in ("worker-aws", "worker-http", "worker-ssh"):
        assert "SOAR_DATABASE_URL_FILE" not in environment(name)


def test_every_queue_has_a_worker() -> None:
    served = {str(s["command"][-1]) for n, s in SERVICES.items() if n.startswith("worker-")}
    assert served == set(known_queues())


def test_networks_are_the_least_that_work() -> None:
    networks = COMPOSE["networks"]
    assert {n for n, v in networks.items() if not (v or {}).get("internal")} == {"egress", "edge"}

    def members(network: str) -> set[str]:
        return {n for n, s in SERVICES.items() if network in s["networks"]}

    assert members("temporal-db") == {"postgresql", "temporal-schema", "temporal"}
    assert members("soar-db") == {"postgresql", "migrate", "web", "worker-orchestrator", "worker-chat"}
    assert members("egress") == {"worker-aws", "worker-http", "worker-ssh", "worker-chat"}
    assert members("edge") == {"web", "temporal-ui"}
    assert "postgresql" not in members("temporal")


@each_service
def test_ports_are_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


@each_service
def test_mounted_files_are_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_the_dynamic_configuration_raises_the_poll_rates() -> None:
    config = YAML(typ="safe").load((ROOT / "deploy/temporal/dynamicconfig.yaml").read_text())
    for key in ("history.transferProcessorMaxPollRPS", "history.timerProcessorMaxPollRPS"):
        assert config[key] == [{"value": 200}]


def test_the_example_policy_loads() -> None:
    path = ROOT / "deploy/config/policy.yaml"
    assert load_policy(path.read_text(), file=str(path)).responders


def test_the_scripts_parse_and_make_the_secrets(tmp_path: Path) -> None:
    for script in [*ROOT.glob("deploy/**/*.sh"), *ROOT.glob("scripts/*.sh")]:
        subprocess.run(["sh", "-n", str(script)], check=True)
    copy = tmp_path / "deploy/init-secrets.sh"
    copy.parent.mkdir()
    copy.write_text((ROOT / "deploy/init-secrets.sh").read_text())
    for _ in range(2):
        subprocess.run(["sh", str(copy)], check=True, capture_output=True)
        made = {p.name: p.read_text().strip() for p in (copy.parent / "secrets").iterdir()}
        assert made.keys() == COMPOSE["secrets"].keys()
        assert made["soar_db_password"] in made["soar_database_url"]
        assert Settings(codec_keys=made["codec_keys"]).encryption_keys.keys() == {"k1"}
