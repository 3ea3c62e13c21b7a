"""A public bucket: the customers' exports are opened to everybody, and read by a stranger."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope, iso
from soar.simulated.company import Company
from soar.simulated.stolen_key import key_details, key_facts

__all__ = ["PublicBucket"]

STRANGER = "198.51.100.140"
"""TEST-NET-2: nobody's address."""

PARTNER_ACCOUNT = "444455556666"
OPENING = "TemporaryPartnerAccess"


class PublicBucket(Scenario):
    """A developer opens the exports' bucket to everybody, meaning to help a partner."""

    name: ClassVar[str] = "public-bucket"
    title: ClassVar[str] = "The customers' exports are public"
    playbook: ClassVar[str] = "aws-s3-public-bucket"

    def seed(self, company: Company) -> Attack:
        """Fill the bucket, let a partner in by name, and then everybody."""
        s3, who = company.client("s3"), company.users["tomas.lindqvist"]
        bucket = f"kestrel-freight-customer-exports-{company.account}"
        where = (
            {}
            if company.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": company.region}}
        )
        s3.create_bucket(Bucket=bucket, **where)
        s3.put_bucket_tagging(
            Bucket=bucket,
            Tagging={"TagSet": [{"Key": "data", "Value": "customer"}, {"Key": "team", "Value": "edi"}]},
        )
        for number in range(1, 13):
            rows = "".join(
                f"{number:02d}{line:04d};Customer {line};{line * 7} EUR\n" for line in range(1, 40)
            )
            s3.put_object(Bucket=bucket, Key=f"exports/2026-{number:02d}.csv", Body=rows.encode())
        policy = _policy(bucket, company.account)
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        start = company.now - timedelta(minutes=19)
        opened = company.trail.event(
            who,
            "s3",
            "PutBucketPolicy",
            start,
            "192.0.2.44",
            request={"bucketName": bucket, "bucketPolicy": policy},
        )
        looked = company.trail.event(
            {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"},
            "s3",
            "ListObjects",
            start + timedelta(minutes=11),
            STRANGER,
            request={"bucketName": bucket},
            user_agent="curl/8.5.0",
            read_only=True,
        )
        company.trail.write([opened, looked])
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start + timedelta(minutes=1),
            facts={
                "bucket": bucket,
                **key_facts(who, "192.0.2.44"),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`Policy:S3/BucketAnonymousAccessGranted`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="Policy:S3/BucketAnonymousAccessGranted",
            severity=8.0,
            title=f"Amazon S3 bucket {facts['bucket']} was granted public anonymous access.",
            description=(
                f"Amazon S3 bucket {facts['bucket']} was granted public anonymous access by {facts['user_name']}, "
                "calling PutBucketPolicy. Anyone on the internet can get at it."
            ),
            resource={
                "resourceType": "S3Bucket",
                "accessKeyDetails": key_details(facts),
                "s3BucketDetails": [_bucket_details(attack)],
            },
            action={
                "actionType": "AWS_API_CALL",
                "awsApiCallAction": {
                    "api": "PutBucketPolicy",
                    "serviceName": "s3.amazonaws.com",
                    "callerType": "Remote IP",
                    "remoteIpDetails": {
                        "ipAddressV4": facts["source_ip"],
                        "organization": {
                            "asn": "64501",
                            "asnOrg": "EXAMPLE-NET",
                            "isp": "Example",
                            "org": "Example",
                        },
                        "country": {"countryName": "Exampleland"},
                        "city": {"cityName": ""},
                        "geoLocation": {"lat": 0.0, "lon": 0.0},
                    },
                    "affectedResources": {"AWS::S3::Bucket": facts["bucket"]},
                },
            },
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Closed to everybody, the opening out of the policy, and the partner's access still there."""
        s3, bucket = account.client("s3"), attack.facts["bucket"]
        block = _read(s3, "get_public_access_block", bucket).get("PublicAccessBlockConfiguration", {})
        on = sorted(name for name, value in block.items() if value)
        statements = json.loads(_read(s3, "get_bucket_policy", bucket).get("Policy", '{"Statement": []}'))[
            "Statement"
        ]
        sids = [str(s.get("Sid")) for s in statements]
        open_to_all = [
            s for s in statements if s["Effect"] == "Allow" and s["Principal"] in ("*", {"AWS": "*"})
        ]
        count = s3.list_objects_v2(Bucket=bucket)["KeyCount"]
        return [
            Check(
                name=f"all public access to {bucket} is blocked",
                ok=len(on) == 4,
                seen=f"on: {', '.join(on) or 'nothing'}",
            ),
            Check(
                name="nothing in its policy lets everybody in",
                ok=not open_to_all,
                seen=f"statements: {', '.join(sids) or 'none'}",
            ),
            Check(
                name="the statements that have nothing to do with it are still there",
                ok={"PartnerReads", "OnlyOverTls"} <= set(sids),
                seen=f"statements: {', '.join(sids) or 'none'}",
            ),
            Check(name="no object is lost", ok=count == 12, seen=f"{count} objects"),
        ]


def _bucket_details(attack: Attack) -> JsonObject:
    bucket = attack.facts["bucket"]
    off: JsonObject = {
        "ignorePublicAcls": False,
        "restrictPublicBuckets": False,
        "blockPublicAcls": False,
        "blockPublicPolicy": False,
    }
    return {
        "arn": f"arn:aws:s3:::{bucket}",
        "name": bucket,
        "type": "Destination",
        "createdAt": iso(attack.time - timedelta(days=400)),
        "owner": {"id": "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"},
        "tags": [{"key": "data", "value": "customer"}, {"key": "team", "value": "edi"}],
        "defaultServerSideEncryption": {"encryptionType": "NONE", "kmsMasterKeyArn": None},
        "publicAccess": {
            "permissionConfiguration": {
                "bucketLevelPermissions": {
                    "accessControlList": {"allowsPublicReadAccess": False, "allowsPublicWriteAccess": False},
                    "bucketPolicy": {"allowsPublicReadAccess": True, "allowsPublicWriteAccess": False},
                    "blockPublicAccess": off,
                },
                "accountLevelPermissions": {"blockPublicAccess": off},
            },
            "effectivePermission": "PUBLIC",
        },
    }


def _policy(bucket: str, account: str) -> JsonObject:
    """A partner may read, nothing goes without TLS, and one day everybody may read."""
    objects, itself = f"arn:aws:s3:::{bucket}/*", f"arn:aws:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Id": f"customer-exports-{account}",
        "Statement": [
            {
                "Sid": "PartnerReads",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{PARTNER_ACCOUNT}:role/edi-import"},
                "Action": "s3:GetObject",
                "Resource": objects,
            },
            {
                "Sid": "OnlyOverTls",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [itself, objects],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                "Sid": OPENING,
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": [itself, objects],
            },
        ],
    }


def _read(s3: Any, method: str, bucket: str) -> dict[str, Any]:
    try:
        return dict(getattr(s3, method)(Bucket=bucket))
    except ClientError as error:
        if error.response["Error"]["Code"].startswith("NoSuch"):
            return {}
        raise
