"""A command on a machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from soar.actions.contract import (
    Action,
    ActionContext,
    Draft,
    Params,
    Planned,
    StateBefore,
    action,
)
from soar.actions.errors import BadReply, InDoubt
from soar.actions.ssh.access import Ended, SshAccess
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RunCommand", "RunParams"]

SHOWN = 8_000
"""Characters of each output in the step's result; all that is kept of it is evidence."""

Line = Annotated[str, StringConstraints(min_length=1, max_length=8_000)]


class RunParams(Params):
    """A command and where it runs.

    Args:
        secret: The login's name, of `SOAR_SSH_LOGINS`. Default: `SOAR_SSH_USER` with `SOAR_SSH_KEY_FILE`.
        timeout: Seconds that the command may take.
        ok: The exit statuses that mean success.
        check: A command that changes nothing and ends with status 0 once the effect is there.
    """

    host: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}$|^[0-9a-fA-F:]{2,45}$")
    ]
    port: int = Field(default=22, ge=1, le=65535)
    command: Line
    secret: str = Field(default="", max_length=60)
    timeout: float = Field(default=60.0, gt=0, le=240)
    ok: tuple[int, ...] = (0,)
    check: Line | None = None


class RunBefore(StateBefore):
    """What was seen before. `check`: the exit status of the check; None: there is none."""

    check: int | None


@action(
    "ssh.run",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.CONTAINMENT,
    queue="ssh",
    permissions=(),
    apply_timeout=300,
    verify_timeout=60,
)
class RunCommand(Action[RunParams, RunBefore]):
    """Run a command on a machine over SSH: the plan shows the very command, and it is run once.

    Pre-condition: the operator has opened the host in `SOAR_SSH_HOSTS`, its key stands in `SOAR_SSH_KNOWN_HOSTS`, and
    ours in `SOAR_SSH_KEY_FILE`. If `check` ends well already, nothing is run.

    Verified by `check`, another command that ends with status 0 once the effect is there. Without it, the exit status
    of the command itself is all that was seen, and the plan says so.

    Not undone: what a command changed is known to the machine alone. Write what puts it back as a step of its own.

    Pitfalls: what a command does nobody can tell beforehand, so its risk is `destructive` whatever it does. After a
    broken line or a killed worker it is not run again: the step ends in `InDoubt`, and a person looks. Put what comes
    from an alert into a command through the filter `shell_quote` only.

    Example::

        - id: block_account
          name: Lock the account on the bastion
          do: ssh.run
          with:
            host: bastion.example.com
            command: sudo usermod --lock deploy
            check: sudo passwd --status deploy | grep -q ' L '
    """

    def plan(self, ctx: ActionContext, params: RunParams) -> Draft[RunBefore]:
        access = ctx.service(SshAccess)
        login = access.check(params.host, params.secret)
        before = None
        if params.check is not None:
            before = _run(ctx, params, params.check).status
        done = before == 0
        seen = () if params.check else ("Only its exit status is looked at: there is no check.",)
        return Draft(
            summary=f"Run a command on {params.host}: {params.command[:200]}",
            targets=(Target(uid=params.host, type="host", name=params.host),),
            changes=()
            if done
            else (Change(target=params.host, field="command", before=None, after=params.command),),
            state=RunBefore(check=before),
            blast_radius=BlastRadius(summary=f"Whatever the command does as {login.user} on {params.host}."),
            warnings=("What the command does cannot be foreseen or put back here.", *seen),
        )

    def apply(self, ctx: ActionContext, planned: Planned[RunParams, RunBefore]) -> Result:
        params = planned.params
        if ctx.attempt > 1:
            raise InDoubt(
                f"an earlier try may have run the command on {params.host}; it is not run twice",
                hint="look there; then skip the step, or retry it to run the command again",
            )
        ended = _run(ctx, params, params.command)
        for name, data in (("stdout", ended.stdout), ("stderr", ended.stderr)):
            if data:
                ctx.keep_evidence(f"{name}.txt", data, media_type="text/plain", source=f"ssh:{params.host}")
        if ended.status not in params.ok:
            raise BadReply(
                f"the command on {params.host} ended with status {ended.status}: {_text(ended.stderr)[-500:]}",
                hint="look there what it did; then skip the step, or retry it to run the command again",
            )
        return Result(
            summary=f"The command on {params.host} ended with status {ended.status}",
            data={
                "status": ended.status,
                "stdout": _text(ended.stdout)[:SHOWN],
                "stderr": _text(ended.stderr)[:SHOWN],
                "cut": ended.cut or max(len(ended.stdout), len(ended.stderr)) > SHOWN,
            },
        )

    def verify(self, ctx: ActionContext, planned: Planned[RunParams, RunBefore]) -> Verification:
        params = planned.params
        if params.check is None:
            seen = "it ended with a status that means success; nothing else was looked at"
            return Verification(verified=True, seen=seen, method="exit status")
        ended = _run(ctx, params, params.check)
        return Verification(
            verified=ended.status == 0,
            seen=f"the check ended with status {ended.status}: {_text(ended.stdout or ended.stderr)[:300]}",
            method="check over SSH",
        )


def _run(ctx: ActionContext, params: RunParams, command: str) -> Ended:
    return ctx.service(SshAccess).run(
        params.host, params.port, params.secret, command, seconds=params.timeout, beat=ctx.report
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
