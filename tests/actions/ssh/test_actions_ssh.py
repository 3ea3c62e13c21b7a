"""Commands over SSH, on a real SSH server: run once, on hosts that are open and known, and never in doubt twice."""

from __future__ import annotations

import dataclasses
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest
from ssh_machine import Machine
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from soar.actions.activities import action_activities
from soar.actions.calls import ActionCall, ApplyCall, Committed
from soar.actions.contract import ActionServices
from soar.actions.errors import ActionError, Refused
from soar.actions.registry import definitions
from soar.actions.ssh.access import KEEP_BYTES, Login, SshAccess
from soar.model.base import digest_of
from soar.model.change import Plan
from soar.playbook.cacao.work import CacaoSettings
from soar.runtime.settings import SettingsError, load_settings
from soar.runtime.worker import SSH_QUEUE, _ssh_access, known_queues


class Kept:
    def __init__(self) -> None:
        self.data: list[bytes] = []

    def keep(self, data: bytes) -> tuple[str, int]:
        self.data.append(data)
        return digest_of(str(data)), len(data)


def access(host: Machine, **more: Any) -> SshAccess:
    given: dict[str, Any] = {
        "hosts": ["127.0.0.0/8", "*.example.com"],
        "known_hosts": more.get("known_hosts") or host.known_hosts(),
        "logins": {"default": Login("soar", host.folder / "key")},
        **more,
    }
    return SshAccess(**given)


async def run(
    host: Machine, verb: str, call: Any, kept: Kept | None = None, attempt: int = 1, **more: Any
) -> Any:
    services = ActionServices(kept or Kept(), access(host, **more))
    with ThreadPoolExecutor(2) as executor:
        made = action_activities([definitions()["ssh.run"]], services, executor)
        by_name = {activity._Definition.must_from_callable(a).name: a for a in made}
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, attempt=attempt)
        return await environment.run(by_name[f"ssh.run:{verb}"], call)


async def planned(machine: Machine, **params: Any) -> Plan:
    given = {"host": "127.0.0.1", "port": machine.port, **params}
    plan: Plan = await run(machine, "plan", ActionCall(incident_id="i", step_id="s", params=given))
    return plan


def apply(plan: Plan) -> ApplyCall:
    return ApplyCall(incident_id="i", step_id="s", plan=plan, look=True)


async def test_a_command_is_planned_run_once_and_checked(host: Machine) -> None:
    plan = await planned(host, command="echo hello; touch locked", check="test -e locked")
    assert not (host.folder / "locked").exists(), "a plan changes nothing"
    assert [c.after for c in plan.changes] == ["echo hello; touch locked"]
    kept = Kept()
    done: Committed = await run(host, "apply", apply(plan), kept)
    assert done.result is not None
    assert done.result.data["stdout"] == "hello\n"
    assert done.result.data["cut"] is False
    assert kept.data == [b"hello\n"]
    assert done.verification is not None
    assert "status 0" in done.verification.seen
    assert host.commands.count("echo hello; touch locked") == 1
    again = await planned(host, command="touch locked", check="test -e locked")
    assert again.changes == (), "it is so already, and nobody is asked"


async def test_a_status_that_means_failure_fails_the_step(host: Machine) -> None:
    plan = await planned(host, command="echo broken >&2; exit 3")
    assert any("no check" in text for text in plan.warnings)
    with pytest.raises(ApplicationError, match="ended with status 3: broken") as failed:
        await run(host, "apply", apply(plan))
    assert failed.value.non_retryable
    plan = await planned(host, command="exit 3", ok=[0, 3])
    done: Committed = await run(host, "apply", apply(plan))
    assert done.verification is not None
    assert "nothing else was looked at" in done.verification.seen


async def test_after_a_broken_line_or_a_killed_worker_nothing_is_run_again(host: Machine) -> None:
    plan = await planned(host, command="echo once >> done")
    host.drop_after = "once"
    with pytest.raises(ApplicationError, match="broke while the command ran") as failed:
        await run(host, "apply", apply(plan))
    assert (failed.value.type, failed.value.non_retryable) == ("InDoubt", True)
    host.drop_after = ""
    with pytest.raises(ApplicationError, match="not run twice"):
        await run(host, "apply", apply(plan), attempt=2)
    assert (host.folder / "done").read_text() == "once\n"


@pytest.mark.parametrize(
    ("at", "type_", "says"),
    [("command", "InDoubt", "broke while the command ran"), ("banner", "NotSent", "127.0.0.1")],
)
async def test_a_host_that_hangs_up_without_a_word_is_told_as_such(
    host: Machine, at: str, type_: str, says: str
) -> None:
    plan = await planned(host, command="true")
    host.hang_up = at
    with pytest.raises(ApplicationError, match=says) as failed:
        await run(host, "apply", apply(plan))
    assert failed.value.type == type_


async def test_a_command_that_does_not_end_is_left_and_said_so(host: Machine) -> None:
    plan = await planned(host, command="sleep 20", timeout=0.5)
    with pytest.raises(ApplicationError, match="may still run") as failed:
        await run(host, "apply", apply(plan))
    assert failed.value.type == "InDoubt"


async def test_much_output_is_cut_and_said_so(host: Machine) -> None:
    kept = Kept()
    plan = await planned(host, command="head -c 600000 /dev/zero | tr '\\0' x")
    done: Committed = await run(host, "apply", apply(plan), kept)
    assert done.result is not None
    assert done.result.data["cut"] is True
    assert len(str(done.result.data["stdout"])) == 8_000
    assert [len(d) for d in kept.data] == [KEEP_BYTES]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"hosts": []}, "not open here"),
        ({"hosts": ["10.0.0.0/8"]}, "127.0.0.1 is not open"),
        ({"known_hosts": None}, "no host keys are known"),
        ({"logins": {}}, "there is no login"),
    ],
)
def test_what_is_not_open_is_refused_before_anything_is_sent(
    host: Machine, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(Refused, match=says):
        access(host, **more).run("127.0.0.1", host.port, "", "id", seconds=5)
    assert host.commands == []


def test_names_are_open_by_pattern(host: Machine) -> None:
    known = access(host)
    assert known.check("Bastion.Example.COM", "").user == "soar"
    for other in ("example.com.evil.test", "10.1.2.3", "evil.test"):
        with pytest.raises(Refused):
            known.check(other, "")
    with pytest.raises(ActionError, match="there is no login root"):
        known.check("127.0.0.1", "root")


def test_a_host_that_is_not_the_known_one_gets_nothing(host: Machine) -> None:
    other = paramiko.RSAKey.generate(2048)
    with pytest.raises(Refused, match="another than the known one"):
        access(host, known_hosts=host.known_hosts(other)).run("127.0.0.1", host.port, "", "id", seconds=5)
    (host.folder / "known_hosts").write_text("")
    with pytest.raises(Refused, match=r"no key of 127\.0\.0\.1 is known"):
        access(host, known_hosts=host.folder / "known_hosts").run("127.0.0.1", host.port, "", "id", seconds=5)
    assert host.commands == []


def test_who_is_not_let_in_and_who_is_not_there(host: Machine) -> None:
    stranger = {"default": Login("root", host.folder / "key")}
    with pytest.raises(Refused, match="does not let root in"):
        access(host, logins=stranger).run("127.0.0.1", host.port, "", "id", seconds=5)
    nowhere = {"default": Login("soar", host.folder / "nothing")}
    with pytest.raises(Refused, match="cannot be read"):
        access(host, logins=nowhere).run("127.0.0.1", host.port, "", "id", seconds=5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ActionError) as missed:
        access(host).run("127.0.0.1", port, "", "id", seconds=5)
    assert missed.value.nothing_done


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a b", "", "host;id"])
async def test_a_host_is_a_host(host: Machine, name: str) -> None:
    with pytest.raises(ApplicationError) as failed:
        await planned(host, host=name, command="id")
    assert failed.value.type == "BadInput"


def test_the_settings_open_hosts_and_name_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SSH_QUEUE in known_queues()
    with pytest.raises(Refused, match="not open here"):
        _ssh_access(load_settings()).check("bastion.example.com", "")
    monkeypatch.setenv("SOAR_SSH_HOSTS", "bastion.example.com, 10.0.0.0/8")
    monkeypatch.setenv("SOAR_SSH_KNOWN_HOSTS", "/known")
    monkeypatch.setenv("SOAR_SSH_KEY_FILE", "/key")
    monkeypatch.setenv("SOAR_SSH_LOGINS", "db=dbadmin@/other")
    monkeypatch.setenv("SOAR_CACAO_SHELL", "true")
    settings = load_settings()
    assert settings.cacao == CacaoSettings(manual_role=settings.cacao_role, shell=True)
    found = _ssh_access(settings)
    assert found.check("10.1.1.1", "") == Login("soar", Path("/key"))
    assert found.check("bastion.example.com", "db") == Login("dbadmin", Path("/other"))
    monkeypatch.setenv("SOAR_SSH_LOGINS", "dbadmin")
    with pytest.raises(SettingsError, match="name=user@"):
        _ssh_access(load_settings())
    monkeypatch.setenv("SOAR_SSH_LOGINS", "")
    monkeypatch.setenv("SOAR_SSH_HOSTS", "a/b")
    with pytest.raises(SettingsError, match="SOAR_SSH_HOSTS"):
        _ssh_access(load_settings())


def test_nothing_of_a_result_holds_the_key(host: Machine) -> None:
    ended = access(host).run("127.0.0.1", host.port, "", "env", seconds=5)
    private = (host.folder / "key").read_text()
    assert private not in json.dumps(ended.stdout.decode())
