# The role that soar's aws worker takes on in one account. What it is allowed is in policies.tf, which
# `soar actions iam-policy --format terraform` makes.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

resource "aws_iam_role" "responder" {
  name                 = var.role_name
  description          = "Taken on by soar's aws worker, for one incident at a time."
  max_session_duration = var.max_session_seconds
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "TheWorker"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [var.worker_principal_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }

  # A session is tagged with its incident, and with nothing else.
  statement {
    sid     = "NamesItsIncident"
    actions = ["sts:TagSession"]

    principals {
      type        = "AWS"
      identifiers = [var.worker_principal_arn]
    }

    condition {
      test     = "StringLike"
      variable = "aws:RequestTag/soar:incident"
      values   = ["?*"]
    }

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "aws:TagKeys"
      values   = ["soar:incident"]
    }
  }
}
