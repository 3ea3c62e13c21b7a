# The responder role in every account of organisational units, by a StackSet that also reaches accounts to come.
# Apply it in the management account, or in the one that administers StackSets for it. StackSets leave the management
# account out: put the module `responder` there if it is to be reached.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

resource "aws_cloudformation_stack_set" "responder" {
  name             = var.role_name
  description      = "The role that soar's aws worker takes on."
  permission_model = "SERVICE_MANAGED"
  call_as          = var.call_as
  capabilities     = ["CAPABILITY_NAMED_IAM"]
  template_body    = file("${path.module}/../../responder-role.yaml")

  # Every parameter, with defaults too: what is left out here shows as a difference for ever.
  parameters = {
    WorkerPrincipalArn     = var.worker_principal_arn
    ExternalId             = var.external_id
    RoleName               = var.role_name
    AllowChanges           = tostring(var.allow_changes)
    MaxSessionSeconds      = tostring(var.max_session_seconds)
    PermissionsBoundaryArn = var.permissions_boundary_arn
  }

  auto_deployment {
    enabled                          = true
    retain_stacks_on_account_removal = false
  }

  operation_preferences {
    failure_tolerance_percentage = 10
    max_concurrent_percentage    = 25
  }

  lifecycle {
    # AWS fills it in for service-managed StackSets.
    ignore_changes = [administration_role_arn]
  }
}

# IAM has no regions: that of the provider is enough.
resource "aws_cloudformation_stack_set_instance" "responder" {
  stack_set_name = aws_cloudformation_stack_set.responder.name
  call_as        = var.call_as

  deployment_targets {
    organizational_unit_ids = var.organizational_unit_ids
  }
}
