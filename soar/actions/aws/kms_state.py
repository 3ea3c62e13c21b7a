"""Disable a key, or bring one back that is about to be deleted."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import client
from soar.actions.aws.kms_key import KeyParams, dependants, ensure_may_change, find_key, kms_errors
from soar.actions.aws.setting import Found, OneWaySetting, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.model.terms import Phase, Risk

__all__ = ["CancelKeyDeletion", "DisableKey"]


class KeyState(StateBefore):
    """Whether a key can be used, and whether it is about to be deleted."""

    enabled: bool = Field(title="enabled")
    pending_deletion: bool = Field(title="waiting to be deleted")


def _look(ctx: ActionContext, params: KeyParams) -> Found[KeyState]:
    key = find_key(ctx, params.key_id)
    pending = key.state in ("PendingDeletion", "PendingReplicaDeletion")
    return Found(
        target=key.target,
        state=KeyState(enabled=key.state == "Enabled", pending_deletion=pending),
        facts=dependants(ctx, key),
    )


@action(
    "aws.kms.disable_key",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "kms:DescribeKey",
        "kms:ListResourceTags",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:DisableKey",
        "kms:EnableKey",
    ),
)
class DisableKey(Setting[KeyParams, KeyState]):
    """Disable a key: nothing more can be encrypted, decrypted or signed with it.

    The fastest way to make data unreadable to whoever holds copies of it, and the one that hits everybody.

    Pre-condition: the key exists in the step's region, is not managed by AWS and not tagged `soar:protected`. Disabled
    or about to be deleted already: nothing is done.

    Verified by reading the key: it is disabled, and not about to be deleted.

    Undone by enabling it. It refuses if somebody has scheduled it for deletion since: see
    `aws.kms.cancel_key_deletion`.

    Pitfalls: every volume, database, secret and object under the key becomes unreadable, at once or when its service
    asks the next time: instances that run keep their volumes until they are stopped or detached. It may take some
    minutes until it is so everywhere. Data keys that were handed out already still decrypt.

    Example::

        - id: disable
          name: Disable the key
          do: aws.kms.disable_key
          with:
            key_id: 1234abcd-12ab-34cd-56ef-1234567890ab
          approval:
            role: responder
            approvers: 2
    """

    method = "kms:DescribeKey"

    def look(self, ctx: ActionContext, params: KeyParams) -> Found[KeyState]:
        return _look(ctx, params)

    def wanted(self, params: KeyParams, state: KeyState) -> KeyState:
        return state.model_copy(update={"enabled": False})

    def guard(self, ctx: ActionContext, params: KeyParams, found: Found[KeyState]) -> None:
        ensure_may_change(find_key(ctx, params.key_id))

    def say(self, params: KeyParams, found: Found[KeyState], then: KeyState) -> Said:
        return Said(
            summary=f"Disable key {found.target.name}",
            hits="Whatever is encrypted under the key cannot be read or written by anybody.",
            warnings=(
                "Volumes, databases and backups under the key fail when they are opened the next time.",
            ),
            undo="The key is enabled again.",
        )

    def write(self, ctx: ActionContext, params: KeyParams, now: KeyState, then: KeyState) -> None:
        key_id, kms = find_key(ctx, params.key_id).id, client(ctx, "kms")
        if then.enabled:
            with kms_errors("kms:EnableKey"):
                kms.enable_key(KeyId=key_id)
        else:
            with kms_errors("kms:DisableKey"):
                kms.disable_key(KeyId=key_id)


class CancelParams(KeyParams):
    """Which key, and whether it is to be used again.

    Args:
        enable: Enable it as well; KMS leaves a key disabled whose deletion was cancelled.
    """

    enable: bool = True


@action(
    "aws.kms.cancel_key_deletion",
    risk=Risk.DISRUPTIVE,
    phase=Phase.RECOVERY,
    permissions=(
        "kms:DescribeKey",
        "kms:ListResourceTags",
        "kms:ListAliases",
        "kms:ListGrants",
        "kms:CancelKeyDeletion",
        "kms:EnableKey",
    ),
)
class CancelKeyDeletion(OneWaySetting[CancelParams, KeyState]):
    """Keep a key that somebody has scheduled for deletion, and put it back to use.

    Once a key is gone, so is for good whatever was encrypted under it: this ends the waiting time of 7 to 30 days.

    Pre-condition: the key exists in the step's region, is not managed by AWS and not tagged `soar:protected`. Neither
    about to be deleted nor (with `enable`) disabled: nothing is done. A key that was only disabled is enabled as well.

    Verified by reading the key: it is not about to be deleted, and (with `enable`) enabled.

    Not undone: nobody should want the deletion back; schedule it by hand if it was meant.

    Pitfalls: whoever scheduled it can do it again: take that access away first. The keys of a CloudHSM or with imported
    material need more than this to be used again.

    Example::

        - id: keep_key
          name: Keep the key
          do: aws.kms.cancel_key_deletion
          with:
            key_id: 1234abcd-12ab-34cd-56ef-1234567890ab
    """

    method = "kms:DescribeKey"

    def look(self, ctx: ActionContext, params: CancelParams) -> Found[KeyState]:
        return _look(ctx, params)

    def wanted(self, params: CancelParams, state: KeyState) -> KeyState:
        return KeyState(enabled=state.enabled or params.enable, pending_deletion=False)

    def guard(self, ctx: ActionContext, params: CancelParams, found: Found[KeyState]) -> None:
        ensure_may_change(find_key(ctx, params.key_id))

    def say(self, params: CancelParams, found: Found[KeyState], then: KeyState) -> Said:
        what = "Keep" if found.state.pending_deletion else "Enable"
        return Said(
            summary=f"{what} key {found.target.name}"
            + (" and enable it" if found.state.pending_deletion and then.enabled else ""),
            hits="Whatever is encrypted under the key can be read again.",
            warnings=("This is not undone: schedule the deletion by hand if it was meant.",),
        )

    def write(self, ctx: ActionContext, params: CancelParams, now: KeyState, then: KeyState) -> None:
        key_id, kms = find_key(ctx, params.key_id).id, client(ctx, "kms")
        # KMS enables no key that is about to be deleted: so the deletion is cancelled first.
        if now.pending_deletion:
            with kms_errors("kms:CancelKeyDeletion"):
                kms.cancel_key_deletion(KeyId=key_id)
        if then.enabled:
            with kms_errors("kms:EnableKey"):
                kms.enable_key(KeyId=key_id)
