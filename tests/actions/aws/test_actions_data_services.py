"""What is special about databases and buckets under attack; what all actions promise is tried with all of them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from soar.actions.aws.rds_database import Database, database_errors
from soar.actions.aws.s3_versions import Version, histories
from soar.actions.errors import Refused, Unavailable
from soar.simulated.base import AccountClients

BUCKET = "customer-exports"
SINCE = "2026-01-01T00:00:00Z"


def database(account: AccountClients, **more: Any) -> Any:
    """The instance `customers`; returns the client."""
    subnets = [s["SubnetId"] for s in account.client("ec2").describe_subnets()["Subnets"]][:2]
    rds = account.client("rds")
    rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="data", SubnetIds=subnets)
    rds.create_db_instance(
        **{
            "DBInstanceIdentifier": "customers",
            "DBInstanceClass": "db.t3.micro",
            "Engine": "postgres",
            "MasterUsername": "root",
            "DBSubnetGroupName": "data",
        }
        | ({} if "ManageMasterUserPassword" in more else {"MasterUserPassword": "not-a-real-one-1"})
        | more
    )
    return rds


async def refused(actions: Any, name: str, **params: Any) -> str:
    """What the action says when it refuses to plan."""
    with pytest.raises(ApplicationError) as caught:
        await actions.plan(name, **params)
    assert caught.value.type == "Refused", caught.value
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "aws.rds.make_private",
        "aws.rds.isolate",
        "aws.rds.snapshot",
        "aws.rds.stop",
        "aws.rds.rotate_master_password",
    ],
)
async def test_a_protected_database_is_left_alone(actions: Any, account: AccountClients, name: str) -> None:
    database(account, PubliclyAccessible=True, Tags=[{"Key": "soar:protected", "Value": "yes"}])
    assert "soar:protected" in await refused(actions, name, db_instance_id="customers")


async def test_the_protection_of_a_cluster_counts_for_its_instances(
    actions: Any, account: AccountClients
) -> None:
    rds = account.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier="orders",
        Engine="aurora-postgresql",
        MasterUsername="root",
        MasterUserPassword="not-a-real-one-1",
        Tags=[{"Key": "soar:protected", "Value": ""}],
    )
    rds.create_db_instance(
        DBInstanceIdentifier="orders-1",
        DBInstanceClass="db.r5.large",
        Engine="aurora-postgresql",
        EngineVersion="15.4",
        DBClusterIdentifier="orders",
        PubliclyAccessible=True,
    )
    assert "database orders is tagged" in await refused(
        actions, "aws.rds.make_private", db_instance_id="orders-1"
    )


@pytest.mark.parametrize(
    ("status", "kind"), [("modifying", Unavailable), ("available", Unavailable), ("stopped", Refused)]
)
def test_a_busy_database_is_tried_again_and_a_stopped_one_is_for_people(
    status: str, kind: type[Exception]
) -> None:
    raw = {"DBInstanceIdentifier": "customers", "DBInstanceStatus": status}
    busy = {"Error": {"Code": "InvalidDBInstanceState", "Message": "not now"}}
    with (
        pytest.raises(kind, match=f"database customers is {status}"),
        database_errors("rds:ModifyDBInstance", Database(raw=raw, cluster=None)),
    ):
        raise ClientError(busy, "ModifyDBInstance")


async def test_a_missing_database_is_gone(actions: Any) -> None:
    with pytest.raises(ApplicationError) as caught:
        await actions.plan("aws.rds.isolate", db_instance_id="nowhere")
    assert caught.value.type == "TargetGone"


async def test_without_a_vpc_there_is_no_group_to_make(actions: Any, account: AccountClients) -> None:
    account.client("rds").create_db_instance(
        DBInstanceIdentifier="classic",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        MasterUsername="root",
        MasterUserPassword="not-a-real-one-1",
    )
    assert "which VPC" in await refused(actions, "aws.rds.isolate", db_instance_id="classic")


async def test_a_snapshot_has_a_name_that_a_cluster_can_have(actions: Any, account: AccountClients) -> None:
    name = "a" * 37 + "-" + "b" * 25
    database(account, DBInstanceIdentifier=name)
    plan = await actions.plan("aws.rds.snapshot", db_instance_id=name)
    made = plan.targets[1].name
    assert len(made) <= 63
    assert "--" not in made
    assert made.startswith("soar-aaa")


async def test_a_snapshot_of_somebody_else_is_not_taken_for_ours(
    actions: Any, account: AccountClients
) -> None:
    rds = database(account)
    plan = await actions.plan("aws.rds.snapshot", db_instance_id="customers")
    rds.create_db_snapshot(DBSnapshotIdentifier=plan.targets[1].name, DBInstanceIdentifier="customers")
    assert "without this step's tags" in await refused(
        actions, "aws.rds.snapshot", db_instance_id="customers"
    )


async def test_a_replica_is_not_stopped(actions: Any, account: AccountClients) -> None:
    rds = database(account)
    rds.create_db_instance_read_replica(DBInstanceIdentifier="reader", SourceDBInstanceIdentifier="customers")
    assert "is a read replica" in await refused(actions, "aws.rds.stop", db_instance_id="reader")
    assert "has read replicas: reader" in await refused(actions, "aws.rds.stop", db_instance_id="customers")


async def test_stopping_warns_of_the_seven_days(actions: Any, account: AccountClients) -> None:
    database(account)
    plan = await actions.plan("aws.rds.stop", db_instance_id="customers")
    assert any("seven days" in w for w in plan.warnings)


async def test_a_new_password_must_go_somewhere(actions: Any, account: AccountClients) -> None:
    database(account)
    said = await refused(actions, "aws.rds.rotate_master_password", db_instance_id="customers")
    assert "nowhere to go" in said


async def test_the_password_that_rds_manages_stays_in_its_secret(
    actions: Any, account: AccountClients
) -> None:
    database(account, ManageMasterUserPassword=True)
    account.client("secretsmanager").create_secret(Name="mine", SecretString="{}")
    said = await refused(
        actions, "aws.rds.rotate_master_password", db_instance_id="customers", secret_id="mine"
    )
    assert "RDS manages the password" in said


async def test_a_rotation_that_is_under_way_is_let_end(actions: Any, account: AccountClients) -> None:
    database(account)
    manager = account.client("secretsmanager")
    manager.create_secret(Name="mine", SecretString="{}")
    manager.put_secret_value(SecretId="mine", SecretString="{}", VersionStages=["AWSPENDING"])
    said = await refused(
        actions, "aws.rds.rotate_master_password", db_instance_id="customers", secret_id="mine"
    )
    assert "is under way" in said


async def test_the_new_password_is_in_the_secret_only(actions: Any, account: AccountClients) -> None:
    database(account)
    manager = account.client("secretsmanager")
    manager.create_secret(Name="mine", SecretString='{"user": "root", "pass": "old"}')
    params = {"db_instance_id": "customers", "secret_id": "mine", "password_field": "pass"}
    plan = await actions.plan("aws.rds.rotate_master_password", **params)
    result = await actions.apply(plan)
    seen = await actions.verify(plan)
    value = json.loads(manager.get_secret_value(SecretId="mine", VersionStage="AWSCURRENT")["SecretString"])
    assert value["user"] == "root"
    assert len(value["pass"]) == 32
    told = plan.model_dump_json() + result.model_dump_json() + seen.model_dump_json()
    assert value["pass"] not in told
    assert not actions.vault.kept
    stages = manager.describe_secret(SecretId="mine")["VersionIdsToStages"].values()
    assert sorted(map(sorted, stages)) == [["AWSCURRENT"], ["AWSPREVIOUS"]]


def bucket(account: AccountClients) -> Any:
    """A bucket with versioning; returns the client."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return s3


def moment() -> str:
    """Wait for the next whole second, which is what S3 keeps, and say it."""
    time.sleep(1.02 - time.time() % 1)
    return datetime.now(UTC).replace(microsecond=0).isoformat()


async def test_what_cannot_be_brought_back_is_told_and_stops_nothing(
    actions: Any, account: AccountClients
) -> None:
    s3 = bucket(account)
    first = s3.put_object(Bucket=BUCKET, Key="a", Body=b"good a")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="b", Body=b"good b")
    since = moment()
    for key in ("a", "b"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"encrypted")
    plan = await actions.plan("aws.s3.restore_objects", bucket=BUCKET, since=since)
    assert [c.field for c in plan.changes] == ["object a", "object b"]
    s3.delete_object(Bucket=BUCKET, Key="a", VersionId=first)
    definition: Any = actions.definitions[plan.action]
    ctx = actions.context()
    result = definition.action.apply(ctx, definition.typed(plan))
    assert result.data["restored"] == 1
    assert result.data["failed"] == ["a"]
    report = json.loads(actions.vault.kept[ctx.evidence[0].digest])
    assert [r["outcome"] == "done" for r in report] == [False, True]
    assert s3.get_object(Bucket=BUCKET, Key="b")["Body"].read() == b"good b"
    seen = actions.look(plan)
    assert not seen.verified
    assert "not: a" in seen.seen


async def test_a_step_brings_back_so_many_and_the_next_one_the_rest(
    actions: Any, account: AccountClients
) -> None:
    s3 = bucket(account)
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    since = moment()
    for key in ("a", "b", "c"):
        s3.delete_object(Bucket=BUCKET, Key=key)
    params = {"bucket": BUCKET, "since": since, "most": 2}
    plan = await actions.plan("aws.s3.restore_objects", **params)
    assert any("run the step again" in w for w in plan.warnings)
    await actions.apply(plan)
    again = await actions.plan("aws.s3.restore_objects", **params)
    assert [c.field for c in again.changes] == ["object c"]
    await actions.apply(again)
    assert (await actions.plan("aws.s3.restore_objects", **params)).changes == ()
    assert "Versions" in s3.list_object_versions(Bucket=BUCKET)
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket=BUCKET)


async def test_an_object_that_was_overwritten_and_then_deleted_is_copied_back(
    actions: Any, account: AccountClients
) -> None:
    s3 = bucket(account)
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"good")
    since = moment()
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"encrypted")
    s3.delete_object(Bucket=BUCKET, Key="a")
    plan = await actions.plan("aws.s3.restore_objects", bucket=BUCKET, since=since)
    await actions.apply(plan)
    assert s3.get_object(Bucket=BUCKET, Key="a")["Body"].read() == b"good"
    kept = s3.list_object_versions(Bucket=BUCKET)
    assert len(kept["Versions"]) == 3, "the attacker's version is evidence"
    assert len(kept["DeleteMarkers"]) == 1


async def test_what_the_versions_tell_is_kept(actions: Any, account: AccountClients) -> None:
    s3 = bucket(account)
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"new")
    found = await actions.read("aws.s3.list_versions", bucket=BUCKET, since=SINCE, most=1)
    assert found.data["new_objects"] == ["a"]
    kept = json.loads(actions.vault.kept[found.evidence[0].digest])
    assert [k["key"] for k in kept["keys"]] == ["a"]


async def test_a_bucket_does_not_log_into_itself(actions: Any, account: AccountClients) -> None:
    bucket(account)
    said = await refused(actions, "aws.s3.enable_access_logging", bucket=BUCKET, log_bucket=BUCKET)
    assert "without end" in said


async def test_rules_that_only_move_are_left_alone(actions: Any, account: AccountClients) -> None:
    s3 = bucket(account)
    move = {
        "ID": "move",
        "Filter": {"Prefix": ""},
        "Status": "Enabled",
        "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}],
    }
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [move]})
    assert (await actions.plan("aws.s3.suspend_lifecycle", bucket=BUCKET)).changes == ()


START = datetime(2026, 1, 1, tzinfo=UTC)


@given(
    deeds=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["write", "delete"])), max_size=12),
    cut=st.integers(min_value=0, max_value=12),
)
def test_the_history_of_an_object_is_what_was_done_to_it(deeds: list[tuple[str, str]], cut: int) -> None:
    entries, then, now = [], {"a": None, "b": None}, {"a": None, "b": None}
    touched = set()
    for second, (key, deed) in enumerate(deeds):
        version = Version(
            version_id=str(second),
            marker=deed == "delete",
            modified_at=START + timedelta(seconds=second),
            size=1,
            etag=str(second),
            storage_class="STANDARD",
        )
        entries.append((key, version))
        shown = None if version.marker else version.version_id
        now[key] = shown  # type: ignore[assignment]
        if second < cut:
            then[key] = shown  # type: ignore[assignment]
        else:
            touched.add(key)
    found = {h.key: h for h in histories(entries, START + timedelta(seconds=cut))}
    assert set(found) == touched
    for key, history in found.items():
        assert (history.good.version_id if history.good else None) == then[key]
        if then[key] is not None:
            assert history.kind == ("deleted" if now[key] is None else "overwritten")
            assert not history.obstacle
        else:
            assert history.obstacle
