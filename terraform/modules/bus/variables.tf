variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the bus; the archive has the same, and rules begin with it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{1,48}$", var.name))
    error_message = "Letters, digits, dots, hyphens and underscores, at most 48: an archive's name is no longer."
  }
}

variable "kms_key_id" {
  description = "A key of KMS (id, ARN or alias) that lets EventBridge use it; null: a key of AWS's own."
  type        = string
  default     = null
}

variable "rules" {
  description = "By the name that a scenario has for the subscription: the queue that a rule sends to, and which events. `dead_letter_queue_arn` is that of the queue, and is only told to gameday. The queue's policy has to let the rule send (`senders` of the module queue, with `rule_arns` of this one)."
  type = map(object({
    event_pattern         = string
    queue_arn             = string
    dead_letter_queue_arn = optional(string)
    message_group_id      = optional(string)
  }))
  default = {}
}

variable "create_archive" {
  description = "Whether all events are archived, so that they can be replayed."
  type        = bool
  default     = true
}

variable "archive_retention_days" {
  description = "How long the archive keeps them."
  type        = number
  default     = 7
}

variable "create_dead_letter_queue" {
  description = "Whether what cannot be delivered to a target goes to a queue, `NAME-undelivered`."
  type        = bool
  default     = true
}

variable "dead_letter_kms_key_id" {
  description = "A key of KMS for that queue, which has to let EventBridge use it; null: SSE-SQS."
  type        = string
  default     = null
}

variable "maximum_event_age_seconds" {
  description = "How long a delivery is tried again."
  type        = number
  default     = 86400
}

variable "maximum_retry_attempts" {
  description = "How often a delivery is tried again."
  type        = number
  default     = 185
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}
