output "role_arn" {
  description = "The role in this account."
  value       = aws_iam_role.responder.arn
}

output "role_template" {
  description = "Set SOAR_AWS_ROLE_TEMPLATE to it."
  value       = replace(aws_iam_role.responder.arn, data.aws_caller_identity.current.account_id, "{account}")
}
