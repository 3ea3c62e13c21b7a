"""Which IAM permissions a call needs.

An operation of botocore nearly always needs the permission of its own name, below its service's prefix. What is said
here is the rest, from the service authorization reference and, for S3, from the user guide's page on required
permissions for S3 API operations.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PERMISSIONS", "PREFIXES", "permissions_for"]

PREFIXES = {
    "accessanalyzer": "access-analyzer",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "s3control": "s3",
    "sesv2": "ses",
    "sso-admin": "sso",
}
"""Services whose permissions have another prefix than botocore's name."""

PERMISSIONS: dict[str, set[str]] = {
    "s3:CompleteMultipartUpload": {"s3:PutObject"},
    "s3:CopyObject": {"s3:GetObject", "s3:PutObject"},
    "s3:CreateMultipartUpload": {"s3:PutObject"},
    "s3:DeleteBucketAnalyticsConfiguration": {"s3:PutAnalyticsConfiguration"},
    "s3:DeleteBucketCors": {"s3:PutBucketCORS"},
    "s3:DeleteBucketEncryption": {"s3:PutEncryptionConfiguration"},
    "s3:DeleteBucketInventoryConfiguration": {"s3:PutInventoryConfiguration"},
    "s3:DeleteBucketLifecycle": {"s3:PutLifecycleConfiguration"},
    "s3:DeleteBucketMetricsConfiguration": {"s3:PutMetricsConfiguration"},
    "s3:DeleteBucketOwnershipControls": {"s3:PutBucketOwnershipControls"},
    "s3:DeleteBucketReplication": {"s3:PutReplicationConfiguration"},
    "s3:DeleteBucketTagging": {"s3:PutBucketTagging"},
    "s3:DeleteObjects": {"s3:DeleteObject"},
    "s3:DeletePublicAccessBlock": {"s3:PutBucketPublicAccessBlock"},
    "s3:GetBucketAccelerateConfiguration": {"s3:GetAccelerateConfiguration"},
    "s3:GetBucketCors": {"s3:GetBucketCORS"},
    "s3:GetBucketEncryption": {"s3:GetEncryptionConfiguration"},
    "s3:GetBucketInventoryConfiguration": {"s3:GetInventoryConfiguration"},
    "s3:GetBucketLifecycleConfiguration": {"s3:GetLifecycleConfiguration"},
    "s3:GetBucketNotificationConfiguration": {"s3:GetBucketNotification"},
    "s3:GetBucketReplication": {"s3:GetReplicationConfiguration"},
    "s3:GetObjectLockConfiguration": {"s3:GetBucketObjectLockConfiguration"},
    "s3:GetPublicAccessBlock": {"s3:GetBucketPublicAccessBlock"},
    "s3:HeadBucket": {"s3:ListBucket"},
    "s3:HeadObject": {"s3:GetObject"},
    "s3:ListBuckets": {"s3:ListAllMyBuckets"},
    "s3:ListMultipartUploads": {"s3:ListBucketMultipartUploads"},
    "s3:ListObjects": {"s3:ListBucket"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
    "s3:ListParts": {"s3:ListMultipartUploadParts"},
    "s3:PutBucketCors": {"s3:PutBucketCORS"},
    "s3:PutBucketEncryption": {"s3:PutEncryptionConfiguration"},
    "s3:PutBucketInventoryConfiguration": {"s3:PutInventoryConfiguration"},
    "s3:PutBucketLifecycleConfiguration": {"s3:PutLifecycleConfiguration"},
    "s3:PutBucketNotificationConfiguration": {"s3:PutBucketNotification"},
    "s3:PutBucketReplication": {"s3:PutReplicationConfiguration"},
    "s3:PutObjectLockConfiguration": {"s3:PutBucketObjectLockConfiguration"},
    "s3:PutPublicAccessBlock": {"s3:PutBucketPublicAccessBlock"},
    "s3:UploadPart": {"s3:PutObject"},
    "s3:UploadPartCopy": {"s3:GetObject", "s3:PutObject"},
    "s3control:DeletePublicAccessBlock": {"s3:PutAccountPublicAccessBlock"},
    "s3control:GetPublicAccessBlock": {"s3:GetAccountPublicAccessBlock"},
    "s3control:PutPublicAccessBlock": {"s3:PutAccountPublicAccessBlock"},
    "kms:ReEncrypt": {"kms:ReEncryptFrom", "kms:ReEncryptTo"},
    "lambda:Invoke": {"lambda:InvokeFunction"},
    # What gives a role to something needs leave to give it, beside its own.
    "ec2:AssociateIamInstanceProfile": {"ec2:AssociateIamInstanceProfile", "iam:PassRole"},
    "ec2:ReplaceIamInstanceProfileAssociation": {"ec2:ReplaceIamInstanceProfileAssociation", "iam:PassRole"},
}
"""Operations whose permissions have other names, or are several."""

VERSIONED = {
    "s3:DeleteObject": "s3:DeleteObjectVersion",
    "s3:DeleteObjectTagging": "s3:DeleteObjectVersionTagging",
    "s3:GetObject": "s3:GetObjectVersion",
    "s3:GetObjectAcl": "s3:GetObjectVersionAcl",
    "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
    "s3:HeadObject": "s3:GetObjectVersion",
    "s3:PutObjectAcl": "s3:PutObjectVersionAcl",
    "s3:PutObjectTagging": "s3:PutObjectVersionTagging",
}
"""What an operation needs instead once it names a version of an object."""


def permissions_for(operation: str, params: Mapping[str, object] | None = None) -> set[str]:
    """What an operation of botocore needs.

    What depends on the target (KMS keys that encrypt it, tags that are set while it is made) is not in it.

    Args:
        operation: botocore's names for the service and the operation, `elbv2:DescribeTargetHealth`.
        params: What it is called with; it decides whether an object's version is meant. None: no version.

    Returns:
        IAM's names.
    """
    params = params or {}
    if operation in VERSIONED and params.get("VersionId"):
        return {VERSIONED[operation]}
    if operation == "s3:CopyObject" and _copies_version(params.get("CopySource")):
        return {"s3:GetObjectVersion", "s3:PutObject"}
    service, _, name = operation.partition(":")
    return set(PERMISSIONS.get(operation, {f"{PREFIXES.get(service, service)}:{name}"}))


def _copies_version(source: object) -> bool:
    if isinstance(source, Mapping):
        return bool(source.get("VersionId"))
    return "?versionId=" in str(source)
