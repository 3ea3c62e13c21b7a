variable "worker_principal_arn" {
  description = "The ARN of the role that the aws worker runs as, in the security account."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/", var.worker_principal_arn))
    error_message = "Give the ARN of one role or user: a whole account as principal would let in anybody there."
  }
}

variable "external_id" {
  description = "What SOAR_AWS_EXTERNAL_ID holds. Who may look at the role can read it: it is no secret to AWS."
  type        = string

  validation {
    condition     = can(regex("^[\\w+=,.@:/-]{2,1224}$", var.external_id))
    error_message = "An external id is 2 to 1,224 letters, digits and +=,.@:/-_."
  }
}

variable "role_name" {
  description = "As SOAR_AWS_ROLE_TEMPLATE names it."
  type        = string
  default     = "soar-responder"
}

variable "allow_changes" {
  description = "false leaves a role that only looks."
  type        = bool
  default     = true
}

variable "max_session_seconds" {
  description = "The worker asks for 3600."
  type        = number
  default     = 3600
}

variable "permissions_boundary_arn" {
  description = "A permissions boundary that your organisation asks of roles; null: none."
  type        = string
  default     = null
}
