# Made by `soar actions iam-policy --format terraform`: make it anew rather than change it.

resource "aws_iam_policy" "read" {
  name = "${var.role_name}-read"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "SoarRead"
        Effect = "Allow"
        Action = [
          "autoscaling:DescribeAutoScalingGroups",
          "autoscaling:DescribeAutoScalingInstances",
          "cloudfront:ListDistributions",
          "cloudtrail:DescribeTrails",
          "cloudtrail:GetEventSelectors",
          "cloudtrail:GetTrailStatus",
          "cloudtrail:ListTags",
          "cloudtrail:LookupEvents",
          "cloudwatch:GetMetricStatistics",
          "config:GetResourceConfigHistory",
          "ec2:DescribeAddresses",
          "ec2:DescribeImageAttribute",
          "ec2:DescribeImages",
          "ec2:DescribeInstanceAttribute",
          "ec2:DescribeInstances",
          "ec2:DescribeNetworkAcls",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeRouteTables",
          "ec2:DescribeSecurityGroupRules",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSnapshotAttribute",
          "ec2:DescribeSnapshots",
          "ec2:DescribeVolumes",
          "ec2:GetConsoleOutput",
          "ec2:GetImageBlockPublicAccessState",
          "ec2:GetSnapshotBlockPublicAccessState",
          "elasticloadbalancing:DescribeLoadBalancers",
          "elasticloadbalancing:DescribeTargetGroups",
          "elasticloadbalancing:DescribeTargetHealth",
          "iam:GetAccessKeyLastUsed",
          "iam:GetGroupPolicy",
          "iam:GetInstanceProfile",
          "iam:GetLoginProfile",
          "iam:GetRole",
          "iam:GetRolePolicy",
          "iam:GetUser",
          "iam:GetUserPolicy",
          "iam:ListAccessKeys",
          "iam:ListAttachedGroupPolicies",
          "iam:ListAttachedRolePolicies",
          "iam:ListAttachedUserPolicies",
          "iam:ListGroupPolicies",
          "iam:ListGroupsForUser",
          "iam:ListInstanceProfilesForRole",
          "iam:ListMFADevices",
          "iam:ListRolePolicies",
          "iam:ListUserPolicies",
          "kms:DescribeKey",
          "kms:GetKeyPolicy",
          "kms:ListAliases",
          "kms:ListGrants",
          "kms:ListResourceTags",
          "lambda:GetFunction",
          "lambda:GetFunctionConcurrency",
          "lambda:GetFunctionConfiguration",
          "lambda:GetFunctionUrlConfig",
          "lambda:GetPolicy",
          "lambda:ListEventSourceMappings",
          "lambda:ListTags",
          "lambda:ListVersionsByFunction",
          "logs:DescribeQueries",
          "logs:GetQueryResults",
          "logs:StartQuery",
          "logs:StopQuery",
          "rds:DescribeDBClusterSnapshotAttributes",
          "rds:DescribeDBClusterSnapshots",
          "rds:DescribeDBClusters",
          "rds:DescribeDBInstances",
          "rds:DescribeDBSnapshotAttributes",
          "rds:DescribeDBSnapshots",
          "s3:GetAccountPublicAccessBlock",
          "s3:GetBucketAcl",
          "s3:GetBucketLogging",
          "s3:GetBucketOwnershipControls",
          "s3:GetBucketPolicy",
          "s3:GetBucketPolicyStatus",
          "s3:GetBucketPublicAccessBlock",
          "s3:GetBucketTagging",
          "s3:GetBucketVersioning",
          "s3:GetBucketWebsite",
          "s3:GetEncryptionConfiguration",
          "s3:GetLifecycleConfiguration",
          "s3:GetObject",
          "s3:GetObjectVersion",
          "s3:GetObjectVersionTagging",
          "s3:ListAllMyBuckets",
          "s3:ListBucket",
          "s3:ListBucketVersions",
          "secretsmanager:DescribeSecret",
          "secretsmanager:GetResourcePolicy",
          "secretsmanager:GetSecretValue",
          "sts:GetAccessKeyInfo",
          "sts:GetCallerIdentity",
        ]
        Resource = "*"
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.responder.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_policy" "change" {
  count = var.allow_changes ? 1 : 0

  name = "${var.role_name}-change"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "SoarChange"
        Effect = "Allow"
        Action = [
          "autoscaling:EnterStandby",
          "autoscaling:ExitStandby",
          "cloudtrail:PutEventSelectors",
          "cloudtrail:StartLogging",
          "cloudtrail:StopLogging",
          "cloudtrail:UpdateTrail",
          "ec2:AssociateAddress",
          "ec2:AuthorizeSecurityGroupEgress",
          "ec2:AuthorizeSecurityGroupIngress",
          "ec2:CreateNetworkAclEntry",
          "ec2:CreateSecurityGroup",
          "ec2:CreateSnapshot",
          "ec2:CreateSnapshots",
          "ec2:CreateTags",
          "ec2:DeleteNetworkAclEntry",
          "ec2:DeleteSecurityGroup",
          "ec2:DeleteSnapshot",
          "ec2:DeleteTags",
          "ec2:DisableImageBlockPublicAccess",
          "ec2:DisableSnapshotBlockPublicAccess",
          "ec2:DisassociateAddress",
          "ec2:EnableImageBlockPublicAccess",
          "ec2:EnableSnapshotBlockPublicAccess",
          "ec2:ModifyImageAttribute",
          "ec2:ModifyInstanceAttribute",
          "ec2:ModifyNetworkInterfaceAttribute",
          "ec2:ModifySnapshotAttribute",
          "ec2:RevokeSecurityGroupEgress",
          "ec2:RevokeSecurityGroupIngress",
          "ec2:TerminateInstances",
          "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
          "elasticloadbalancing:DeregisterTargets",
          "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
          "elasticloadbalancing:RegisterTargets",
          "iam:AddUserToGroup",
          "iam:AttachRolePolicy",
          "iam:AttachUserPolicy",
          "iam:CreateAccessKey",
          "iam:DeactivateMFADevice",
          "iam:DeleteAccessKey",
          "iam:DeleteLoginProfile",
          "iam:DeleteRole",
          "iam:DeleteRolePolicy",
          "iam:DeleteUser",
          "iam:DeleteUserPolicy",
          "iam:DetachRolePolicy",
          "iam:DetachUserPolicy",
          "iam:PutRolePolicy",
          "iam:PutUserPolicy",
          "iam:RemoveRoleFromInstanceProfile",
          "iam:RemoveUserFromGroup",
          "iam:UpdateAccessKey",
          "iam:UpdateAssumeRolePolicy",
          "kms:PutKeyPolicy",
          "kms:RevokeGrant",
          "lambda:AddPermission",
          "lambda:DeleteFunctionConcurrency",
          "lambda:InvokeFunction",
          "lambda:PublishVersion",
          "lambda:PutFunctionConcurrency",
          "lambda:RemovePermission",
          "lambda:UpdateEventSourceMapping",
          "lambda:UpdateFunctionCode",
          "lambda:UpdateFunctionUrlConfig",
          "rds:AddTagsToResource",
          "rds:CreateDBClusterSnapshot",
          "rds:CreateDBSnapshot",
          "rds:DeleteDBClusterSnapshot",
          "rds:DeleteDBSnapshot",
          "rds:ModifyDBCluster",
          "rds:ModifyDBInstance",
          "rds:ModifyDBSnapshotAttribute",
          "s3:DeleteBucketPolicy",
          "s3:DeleteObject",
          "s3:DeleteObjectVersion",
          "s3:PutAccountPublicAccessBlock",
          "s3:PutBucketAcl",
          "s3:PutBucketLogging",
          "s3:PutBucketOwnershipControls",
          "s3:PutBucketPolicy",
          "s3:PutBucketPublicAccessBlock",
          "s3:PutBucketVersioning",
          "s3:PutLifecycleConfiguration",
          "s3:PutObject",
          "s3:PutObjectTagging",
          "secretsmanager:CreateSecret",
          "secretsmanager:DeleteResourcePolicy",
          "secretsmanager:PutResourcePolicy",
          "secretsmanager:PutSecretValue",
          "secretsmanager:RotateSecret",
          "secretsmanager:TagResource",
          "secretsmanager:UntagResource",
          "secretsmanager:UpdateSecretVersionStage",
        ]
        Resource = "*"
      },
      {
        Sid    = "SoarNotItself"
        Effect = "Deny"
        Action = [
          "iam:AttachRolePolicy",
          "iam:DeleteRole",
          "iam:DeleteRolePolicy",
          "iam:DetachRolePolicy",
          "iam:PutRolePolicy",
          "iam:UpdateAssumeRolePolicy",
        ]
        Resource = "arn:${data.aws_partition.current.partition}:iam::*:role/${var.role_name}"
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "change" {
  count = var.allow_changes ? 1 : 0

  role       = aws_iam_role.responder.name
  policy_arn = aws_iam_policy.change[0].arn
}
