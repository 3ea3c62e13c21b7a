"""Which CloudTrail events weigh how much, and what they are about: data, for `soar.sources.cloudtrail`.

Severities are our judgement of one event by itself, done by whoever: high where it blinds those who watch, opens or
destroys what cannot be had back, or hands out power; medium for whatever else changes something. CloudTrail itself says
what only reads.
"""

from __future__ import annotations

from soar.model.terms import Severity

__all__ = ["ABOUT", "ARNS", "SEVERITIES", "TITLES"]

_HIGH = """
cloudtrail: StopLogging DeleteTrail PutEventSelectors DeleteEventDataStore StopEventDataStoreIngestion
config: DeleteConfigurationRecorder StopConfigurationRecorder DeleteDeliveryChannel
guardduty: DeleteDetector DisassociateFromMasterAccount DisassociateFromAdministratorAccount
guardduty: StopMonitoringMembers DeleteMembers DisassociateMembers DeletePublishingDestination
securityhub: DisableSecurityHub DisassociateFromAdministratorAccount
macie2: DisableMacie
access-analyzer: DeleteAnalyzer
ec2: DeleteFlowLogs DisableEbsEncryptionByDefault DisableSnapshotBlockPublicAccess DisableImageBlockPublicAccess
ec2: ModifySnapshotAttribute ModifyImageAttribute GetPasswordData CreateInstanceExportTask
route53resolver: DeleteResolverQueryLogConfig DisassociateResolverQueryLogConfig
logs: DeleteLogGroup DeleteLogStream
s3: DeleteBucketPublicAccessBlock DeleteBucket DeleteAccountPublicAccessBlock
organizations: LeaveOrganization RemoveAccountFromOrganization DetachPolicy DisablePolicyType DeleteOrganization
organizations: DeregisterDelegatedAdministrator
account: DisableRegion StartPrimaryEmailUpdate
kms: ScheduleKeyDeletion PutKeyPolicy DisableKey DeleteImportedKeyMaterial
iam: CreateLoginProfile UpdateLoginProfile UpdateAssumeRolePolicy SetDefaultPolicyVersion CreateSAMLProvider
iam: CreateOpenIDConnectProvider DeactivateMFADevice DeleteVirtualMFADevice DeleteRolePermissionsBoundary
iam: DeleteUserPermissionsBoundary DeleteAccountPasswordPolicy
rolesanywhere: CreateTrustAnchor
sso: CreateAccountAssignment AttachManagedPolicyToPermissionSet PutInlinePolicyToPermissionSet
rds: ModifyDBSnapshotAttribute ModifyDBClusterSnapshotAttribute DeleteDBInstance DeleteDBCluster
eks: CreateAccessEntry AssociateAccessPolicy
signin: PasswordRecoveryRequested PasswordRecoveryCompleted PasswordUpdated
backup: DeleteRecoveryPoint DeleteBackupVault PutBackupVaultAccessPolicy
bedrock: DeleteModelInvocationLoggingConfiguration DeleteGuardrail
ec2-instance-connect: SendSerialConsoleSSHPublicKey
wafv2: DeleteWebACL DisassociateWebACL
"""
_MEDIUM = """
secretsmanager: GetSecretValue BatchGetSecretValue
ssm: GetParameters GetParameter GetParametersByPath StartSession SendCommand
ec2: GetConsoleScreenshot
sts: GetFederationToken
signin: ConsoleLogin
bedrock: InvokeModel InvokeModelWithResponseStream Converse ConverseStream
"""
_LOW = """
s3: GetObject PutObject CopyObject DeleteObject
ec2: DescribeInstanceAttribute
"""


def _table(*levels: tuple[str, Severity]) -> dict[tuple[str, str], Severity]:
    return {
        (service, name): severity
        for text, severity in levels
        for line in text.strip().splitlines()
        for service, _, names in [line.partition(":")]
        for name in names.split()
    }


SEVERITIES = _table((_HIGH, Severity.HIGH), (_MEDIUM, Severity.MEDIUM), (_LOW, Severity.LOW))
"""(Service, event) → severity. What is in here counts even if it only reads."""

TITLES = {
    "ConsoleLogin": "signed in to the console",
    "PasswordRecoveryRequested": "asked for a new password",
    "PasswordRecoveryCompleted": "set a new password",
}
"""What somebody did, where the event's name does not say it."""

_USER, _ROLE, _GROUP, _POLICY = "aws.iam.user", "aws.iam.role", "aws.iam.group", "aws.iam.policy"
_PROFILE, _KEY = "aws.iam.instance_profile", "aws.iam.access_key"
_INSTANCE, _IMAGE, _VOLUME, _SNAPSHOT = (
    "aws.ec2.instance",
    "aws.ec2.image",
    "aws.ec2.volume",
    "aws.ec2.snapshot",
)
_ECS = (
    ("requestParameters.cluster", "aws.ecs.cluster"),
    ("requestParameters.task", "aws.ecs.task"),
    ("requestParameters.service", "aws.ecs.service"),
    ("requestParameters.taskDefinition", "aws.ecs.task_definition"),
    ("responseElements.tasks[].taskArn", "aws.ecs.task"),
)

ABOUT: dict[str, tuple[tuple[str, str], ...]] = {
    "access-analyzer": (("requestParameters.analyzerName", "aws.accessanalyzer.analyzer"),),
    "backup": (
        ("requestParameters.recoveryPointArn", "aws.backup.recovery_point"),
        ("requestParameters.backupVaultName", "aws.backup.backup_vault"),
    ),
    "bedrock": (
        ("requestParameters.guardrailIdentifier", "aws.bedrock.guardrail"),
        ("requestParameters.modelId", "aws.bedrock.model"),
    ),
    "cloudtrail": (
        ("requestParameters.name", "aws.cloudtrail.trail"),
        ("requestParameters.trailName", "aws.cloudtrail.trail"),
        ("requestParameters.eventDataStore", "aws.cloudtrail.event_data_store"),
    ),
    "cognito-idp": (("requestParameters.userPoolId", "aws.cognito.user_pool"),),
    "dynamodb": (("requestParameters.tableName", "aws.dynamodb.table"),),
    "ec2": (
        ("requestParameters.instanceId", _INSTANCE),
        ("requestParameters.instancesSet.items[].instanceId", _INSTANCE),
        ("responseElements.instancesSet.items[].instanceId", _INSTANCE),
        ("requestParameters.imageId", _IMAGE),
        ("requestParameters.instancesSet.items[].imageId", _IMAGE),
        ("requestParameters.snapshotId", _SNAPSHOT),
        ("requestParameters.volumeId", _VOLUME),
        ("requestParameters.groupId", "aws.ec2.security_group"),
        ("responseElements.groupId", "aws.ec2.security_group"),
        ("requestParameters.networkAclId", "aws.ec2.network_acl"),
        ("requestParameters.networkInterfaceId", "aws.ec2.network_interface"),
        ("requestParameters.routeTableId", "aws.ec2.route_table"),
        ("requestParameters.vpcId", "aws.ec2.vpc"),
        ("requestParameters.subnetId", "aws.ec2.subnet"),
        ("requestParameters.keyName", "aws.ec2.key_pair"),
        ("requestParameters.flowLogId", "aws.ec2.flow_log"),
        ("requestParameters.DeleteFlowLogsRequest.FlowLogId", "aws.ec2.flow_log"),
        ("requestParameters.DeleteFlowLogsRequest.FlowLogId.content", "aws.ec2.flow_log"),
        ("requestParameters.DeleteFlowLogsRequest.FlowLogId[].content", "aws.ec2.flow_log"),
    ),
    "ec2-instance-connect": (("requestParameters.instanceId", _INSTANCE),),
    "ecr": (("requestParameters.repositoryName", "aws.ecr.repository"),),
    "ecs": _ECS,
    "eks": (
        ("requestParameters.clusterName", "aws.eks.cluster"),
        ("requestParameters.name", "aws.eks.cluster"),
        ("requestParameters.principalArn", _ROLE),
    ),
    "guardduty": (("requestParameters.detectorId", "aws.guardduty.detector"),),
    "iam": (
        ("requestParameters.userName", _USER),
        ("requestParameters.roleName", _ROLE),
        ("requestParameters.groupName", _GROUP),
        ("requestParameters.policyArn", _POLICY),
        ("requestParameters.instanceProfileName", _PROFILE),
        ("requestParameters.accessKeyId", _KEY),
        ("responseElements.accessKey.accessKeyId", _KEY),
        ("requestParameters.sAMLProviderArn", "aws.iam.saml_provider"),
        ("responseElements.sAMLProviderArn", "aws.iam.saml_provider"),
        ("requestParameters.openIDConnectProviderArn", "aws.iam.oidc_provider"),
        ("responseElements.openIDConnectProviderArn", "aws.iam.oidc_provider"),
    ),
    "kms": (("requestParameters.keyId", "aws.kms.key"),),
    "lambda": (
        ("requestParameters.functionName", "aws.lambda.function"),
        ("requestParameters.role", _ROLE),
        ("requestParameters.layerName", "aws.lambda.layer"),
    ),
    "logs": (("requestParameters.logGroupName", "aws.logs.log_group"),),
    "organizations": (
        ("requestParameters.accountId", "aws.organizations.account"),
        ("requestParameters.policyId", "aws.organizations.policy"),
    ),
    "rds": (
        ("requestParameters.dBInstanceIdentifier", "aws.rds.db_instance"),
        ("requestParameters.dBClusterIdentifier", "aws.rds.db_cluster"),
        ("requestParameters.dBSnapshotIdentifier", "aws.rds.db_snapshot"),
        ("requestParameters.dBClusterSnapshotIdentifier", "aws.rds.db_cluster_snapshot"),
    ),
    "rolesanywhere": (("responseElements.trustAnchor.trustAnchorArn", "aws.rolesanywhere.trust_anchor"),),
    "route53resolver": (
        ("requestParameters.resolverQueryLogConfigId", "aws.route53resolver.resolver_query_logging_config"),
    ),
    "s3": (("requestParameters.bucketName", "aws.s3.bucket"),),
    "sagemaker": (
        ("requestParameters.notebookInstanceName", "aws.sagemaker.notebook_instance"),
        (
            "requestParameters.notebookInstanceLifecycleConfigName",
            "aws.sagemaker.notebook_instance_lifecycle_config",
        ),
    ),
    "secretsmanager": (
        ("requestParameters.secretId", "aws.secretsmanager.secret"),
        ("requestParameters.secretIdList[]", "aws.secretsmanager.secret"),
        ("responseElements.aRN", "aws.secretsmanager.secret"),
    ),
    "sns": (("requestParameters.topicArn", "aws.sns.topic"),),
    "sqs": (("requestParameters.queueUrl", "aws.sqs.queue"),),
    "ssm": (
        ("requestParameters.target", _INSTANCE),
        ("requestParameters.instanceIds[]", _INSTANCE),
        ("requestParameters.names[]", "aws.ssm.parameter"),
        ("requestParameters.documentName", "aws.ssm.document"),
    ),
    "ssm:GetParameter": (("requestParameters.name", "aws.ssm.parameter"),),
    "ssm:PutParameter": (("requestParameters.name", "aws.ssm.parameter"),),
    "ssm:DeleteParameter": (("requestParameters.name", "aws.ssm.parameter"),),
    "sso": (("requestParameters.permissionSetArn", "aws.sso.permission_set"),),
    "sts": (("requestParameters.roleArn", _ROLE),),
}
"""Service, or service and event → where the events name what they are about, and what type that is.

`[]` goes into a list. Mostly by service, for a parameter means the same in each of its events; so events that nobody
listed have their resources as well.
"""

ARNS: dict[str, tuple[str, str]] = {
    _USER: ("iam", "user/"),
    _ROLE: ("iam", "role/"),
    _GROUP: ("iam", "group/"),
    _PROFILE: ("iam", "instance-profile/"),
    _INSTANCE: ("ec2", "instance/"),
    _IMAGE: ("ec2", "image/"),
    _VOLUME: ("ec2", "volume/"),
    _SNAPSHOT: ("ec2", "snapshot/"),
    "aws.cloudtrail.trail": ("cloudtrail", "trail/"),
    "aws.dynamodb.table": ("dynamodb", "table/"),
    "aws.ec2.flow_log": ("ec2", "vpc-flow-log/"),
    "aws.ec2.key_pair": ("ec2", "key-pair/"),
    "aws.ec2.network_acl": ("ec2", "network-acl/"),
    "aws.ec2.network_interface": ("ec2", "network-interface/"),
    "aws.ec2.route_table": ("ec2", "route-table/"),
    "aws.ec2.security_group": ("ec2", "security-group/"),
    "aws.ec2.subnet": ("ec2", "subnet/"),
    "aws.ec2.vpc": ("ec2", "vpc/"),
    "aws.ecr.repository": ("ecr", "repository/"),
    "aws.ecs.cluster": ("ecs", "cluster/"),
    "aws.eks.cluster": ("eks", "cluster/"),
    "aws.guardduty.detector": ("guardduty", "detector/"),
    "aws.kms.key": ("kms", "key/"),
    "aws.lambda.function": ("lambda", "function:"),
    "aws.logs.log_group": ("logs", "log-group:"),
    "aws.rds.db_cluster": ("rds", "cluster:"),
    "aws.rds.db_cluster_snapshot": ("rds", "cluster-snapshot:"),
    "aws.rds.db_instance": ("rds", "db:"),
    "aws.rds.db_snapshot": ("rds", "snapshot:"),
    "aws.s3.bucket": ("s3", ""),
    "aws.sagemaker.notebook_instance": ("sagemaker", "notebook-instance/"),
    "aws.ssm.document": ("ssm", "document/"),
    "aws.ssm.parameter": ("ssm", "parameter/"),
}
"""Type → service and beginning of its ARN, for what an event calls by its name. Others have the name as their uid."""
