"""A bucket is looked at, closed, cleaned, and opened again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from temporalio.exceptions import ApplicationError

from soar.actions.registry import catalogue
from soar.playbook.compiler import compile_playbook
from soar.playbook.lint import lint
from soar.playbook.loader import load_playbook
from soar.simulated.base import AccountClients
from soar.simulated.company import seed_company
from soar.simulated.scenario_s3 import PublicBucket

BUCKET = "customer-exports"
BLOCK, REMOVE, VERSIONS = (
    "aws.s3.block_public_access",
    "aws.s3.remove_public_statements",
    "aws.s3.enable_versioning",
)
PLAYBOOK = Path(__file__).parents[3] / "playbooks" / "aws-s3-public-bucket.yaml"
NAMED = {
    "Sid": "Partner",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::444455556666:role/import"},
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{BUCKET}/*",
}
OPEN = {**NAMED, "Sid": "Open", "Principal": "*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [NAMED, OPEN]}, indent=1)


class Bucket:
    """A bucket whose policy lets everybody in."""

    def __init__(self, account: AccountClients) -> None:
        self.s3 = account.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_policy(Bucket=BUCKET, Policy=POLICY)

    def read(self, method: str) -> Any:
        try:
            reply = getattr(self.s3, method)(Bucket=BUCKET)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return {key: value for key, value in reply.items() if key != "ResponseMetadata"}

    def everything(self) -> dict[str, Any]:
        return {
            method: self.read(method)
            for method in ("get_public_access_block", "get_bucket_policy", "get_bucket_versioning")
        }


@pytest.fixture
def bucket(account: AccountClients) -> Bucket:
    return Bucket(account)


def mixed(bucket: Bucket) -> None:
    bucket.s3.put_public_access_block(
        Bucket=BUCKET, PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": False}
    )


def only_open(bucket: Bucket) -> None:
    bucket.s3.put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [OPEN]})
    )


async def test_exactly_the_public_statement_goes(actions: Any, bucket: Bucket) -> None:
    plan = await actions.plan(REMOVE, bucket=BUCKET)
    assert [(c.field, c.before, c.after) for c in plan.changes] == [("policy statement 2 (Open)", OPEN, None)]
    assert plan.blast_radius.summary == "1 statement(s) stay as they are."
    await actions.apply(plan)
    left = json.loads(bucket.read("get_bucket_policy")["Policy"])
    assert left == {"Version": "2012-10-17", "Statement": [NAMED]}
    await actions.undo(plan)
    assert bucket.read("get_bucket_policy")["Policy"] == POLICY, "byte for byte"


async def test_the_blast_radius_names_who_uses_it(actions: Any, bucket: Bucket) -> None:
    bucket.s3.put_bucket_website(
        Bucket=BUCKET, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}}
    )
    facts = (await actions.plan(BLOCK, bucket=BUCKET)).blast_radius.facts
    assert any("website" in fact for fact in facts)
    assert any("who reads it is not known" in fact for fact in facts)
    assert any("444455556666" in fact and "shut out too" in fact for fact in facts)


async def test_undo_refuses_after_drift(actions: Any, bucket: Bucket) -> None:
    removed = await actions.plan(REMOVE, bucket=BUCKET)
    await actions.apply(removed)
    other = {**NAMED, "Sid": "Later"}
    bucket.s3.put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [NAMED, other]})
    )
    with pytest.raises(ApplicationError, match="Later") as refused:
        await actions.undo(removed)
    assert refused.value.type == "Drifted"
    with pytest.raises(ApplicationError, match="changed since"):
        await actions.undo(removed, in_doubt=True)

    blocked = await actions.plan(BLOCK, bucket=BUCKET)
    await actions.apply(blocked)
    mixed(bucket)
    with pytest.raises(ApplicationError, match="is not undone"):
        await actions.undo(blocked)


async def test_a_policy_that_moved_after_the_plan_voids_it(actions: Any, bucket: Bucket) -> None:
    plan = await actions.plan(REMOVE, bucket=BUCKET)
    only_open(bucket)
    with pytest.raises(ApplicationError) as drifted:
        await actions.apply(plan)
    assert drifted.value.type == "Drifted"
    assert json.loads(bucket.read("get_bucket_policy")["Policy"])["Statement"] == [OPEN]


async def test_a_public_policy_does_not_come_back_under_a_block(actions: Any, bucket: Bucket) -> None:
    removed = await actions.plan(REMOVE, bucket=BUCKET)
    await actions.apply(removed)
    blocked = await actions.plan(BLOCK, bucket=BUCKET)
    await actions.apply(blocked)
    with pytest.raises(ApplicationError, match="forbids the recorded policy") as refused:
        await actions.undo(removed)
    assert refused.value.type == "Refused"
    assert (await actions.undo(blocked)).restored
    assert (await actions.undo(removed)).restored


async def test_versioning_is_turned_on_for_good(actions: Any, bucket: Bucket) -> None:
    plan = await actions.plan(VERSIONS, bucket=BUCKET)
    assert plan.undo == ""
    assert any("cannot be undone" in w for w in plan.warnings)
    assert not actions.look(plan).verified
    await actions.apply(plan)
    assert (await actions.verify(plan)).verified
    assert bucket.read("get_bucket_versioning")["Status"] == "Enabled"
    assert not (await actions.plan(VERSIONS, bucket=BUCKET)).changes
    assert not catalogue()[VERSIONS].undoable


@pytest.mark.parametrize("name", [BLOCK, REMOVE, VERSIONS])
async def test_protected_missing_and_impossible_buckets(actions: Any, bucket: Bucket, name: str) -> None:
    bucket.s3.put_bucket_tagging(
        Bucket=BUCKET, Tagging={"TagSet": [{"Key": "soar:protected", "Value": "website"}]}
    )
    for target, kind in ((BUCKET, "Refused"), ("no-such-bucket", "TargetGone"), ("../etc", "BadInput")):
        with pytest.raises(ApplicationError) as refused:
            await actions.plan(name, bucket=target)
        assert refused.value.type == kind


async def test_exposure_says_what_opens_it(actions: Any, bucket: Bucket) -> None:
    found = await actions.read("aws.s3.bucket_exposure", bucket=BUCKET)
    assert found.data["public"] is True
    assert [s["sid"] for s in found.data["public_statements"]] == ["Open"]
    assert found.data["policy_status_public"] is True
    assert found.data["access_block"] is None
    document = json.loads(actions.vault.kept[found.evidence[0].digest])
    assert document["policy"] == POLICY
    with pytest.raises(ApplicationError, match="statement Open: it grants to everybody"):
        await actions.read("aws.s3.bucket_exposure", bucket=BUCKET, must_be_private=True)

    await actions.apply(await actions.plan(BLOCK, bucket=BUCKET))
    closed = await actions.read("aws.s3.bucket_exposure", bucket=BUCKET, must_be_private=True)
    assert closed.data["public"] is False
    assert "which an access block overrides" in closed.summary


async def test_exposure_by_acl(actions: Any, bucket: Bucket) -> None:
    bucket.s3.delete_bucket_policy(Bucket=BUCKET)
    bucket.s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    found = await actions.read("aws.s3.bucket_exposure", bucket=BUCKET)
    assert found.data["public"] is True
    assert found.data["public_grants"] == ["READ to everybody"]
    bucket.s3.put_bucket_ownership_controls(
        Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    off = await actions.read("aws.s3.bucket_exposure", bucket=BUCKET)
    assert off.data["public"] is False
    assert "ACLs are off" in off.summary


async def test_inventory_counts_what_was_within_reach(actions: Any, bucket: Bucket) -> None:
    bucket.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for number in range(5):
        bucket.s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"x" * 10)
    bucket.s3.put_object(Bucket=BUCKET, Key="k1", Body=b"x" * 3)
    bucket.s3.delete_object(Bucket=BUCKET, Key="k0")
    found = await actions.read("aws.s3.object_inventory", bucket=BUCKET, newest=2)
    data = found.data
    assert (data["objects"], data["bytes"], data["old_versions"], data["delete_markers"]) == (4, 33, 2, 1)
    assert data["complete"] is True
    assert len(data["newest"]) == 2
    kept = json.loads(actions.vault.kept[found.evidence[0].digest])
    assert len(kept["versions"]) == 6
    by_prefix = await actions.read("aws.s3.object_inventory", bucket=BUCKET, prefix="k1")
    assert by_prefix.data["objects"] == 1


async def test_the_scenario_is_contained_by_its_playbook(actions: Any, endpoint: str) -> None:
    scenario = PublicBucket()
    company = seed_company(endpoint, now=datetime.now(UTC))
    attack = scenario.seed(company)
    look = AccountClients(endpoint)
    assert [c.ok for c in scenario.check(look, attack)] == [False, False, True, True]
    assert scenario.finding(attack) == scenario.finding(attack)
    detail: Any = scenario.finding(attack)["detail"]
    assert detail["resource"]["s3BucketDetails"][0]["name"] == attack.facts["bucket"]

    loaded = load_playbook(PLAYBOOK.read_text(), file=PLAYBOOK.name)
    assert lint(loaded, catalogue()) == []
    assert loaded.playbook.name == scenario.playbook
    compile_playbook(loaded, catalogue())
    for name in (BLOCK, REMOVE):
        plan = await actions.plan(name, bucket=attack.facts["bucket"])
        await actions.apply(plan)
        assert (await actions.verify(plan)).verified
    assert all(c.ok for c in scenario.check(look, attack)), scenario.check(look, attack)
    await actions.read("aws.s3.bucket_exposure", bucket=attack.facts["bucket"], must_be_private=True)
