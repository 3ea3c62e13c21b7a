variable "worker_principal_arn" {
  description = "The ARN of the role that the aws worker runs as, in the security account."
  type        = string
}

variable "external_id" {
  description = "What SOAR_AWS_EXTERNAL_ID holds. Who may look at the role can read it: it is no secret to AWS."
  type        = string
}

variable "organizational_unit_ids" {
  description = "Where the role goes: units (ou-…) or the root (r-…)."
  type        = list(string)
}

variable "role_name" {
  description = "As SOAR_AWS_ROLE_TEMPLATE names it."
  type        = string
  default     = "soar-responder"
}

variable "allow_changes" {
  description = "false leaves roles that only look."
  type        = bool
  default     = true
}

variable "max_session_seconds" {
  description = "The worker asks for 3600."
  type        = number
  default     = 3600
}

variable "permissions_boundary_arn" {
  description = "A permissions boundary that your organisation asks of roles; empty: none."
  type        = string
  default     = ""
}

variable "call_as" {
  description = "SELF in the management account, DELEGATED_ADMIN in one that administers StackSets for it."
  type        = string
  default     = "SELF"
}
