"""The leaked key, from the attack to the containment that the account shows; and the playbook that answers it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soar.actions.registry import catalogue
from soar.playbook.compiler import compile_playbook
from soar.playbook.lint import lint
from soar.playbook.loader import load_playbook
from soar.simulated.base import AccountClients
from soar.simulated.company import seed_company
from soar.simulated.scenario_key import LeakedKey

PLAYBOOK = Path(__file__).parents[3] / "playbooks" / "aws-access-key-compromise.yaml"


async def test_the_account_shows_whether_the_attack_is_contained(actions: Any, endpoint: str) -> None:
    scenario = LeakedKey()
    company = seed_company(endpoint, now=datetime.now(UTC))
    attack = scenario.seed(company)
    look = AccountClients(endpoint)
    assert [c.ok for c in scenario.check(look, attack)] == [False, False]
    facts = attack.facts
    for user, key in (
        (facts["user_name"], facts["access_key_id"]),
        (facts["created_key_user"], facts["created_key_id"]),
    ):
        plan = await actions.plan("aws.iam.deactivate_access_key", user_name=user, access_key_id=key)
        await actions.apply(plan)
    assert [c.ok for c in scenario.check(look, attack)] == [True, True]

    envelope = scenario.finding(attack)
    detail: Any = envelope["detail"]
    assert scenario.finding(attack) == envelope
    assert detail["resource"]["accessKeyDetails"]["accessKeyId"] == facts["access_key_id"]
    assert envelope["account"] == detail["accountId"] == attack.account


def test_the_playbook_is_clean() -> None:
    loaded = load_playbook(PLAYBOOK.read_text(), file=PLAYBOOK.name)
    assert lint(loaded, catalogue()) == []
    assert loaded.playbook.name == LeakedKey.playbook
    compile_playbook(loaded, catalogue())
