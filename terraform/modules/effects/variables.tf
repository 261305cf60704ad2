variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the table."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.name))
    error_message = "From 3 to 255 letters, digits, dots, hyphens and underscores."
  }
}

variable "hash_key" {
  description = "The attribute that tells the message; a text."
  type        = string
  default     = "id"
}

variable "kms_key_arn" {
  description = "ARN of a key of KMS; null: the key aws/dynamodb of the account."
  type        = string
  default     = null
}

variable "point_in_time_recovery" {
  description = "Whether the table can be brought back as it was at any time of the last 35 days."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the table."
  type        = bool
  default     = true
}

variable "ttl_attribute" {
  description = "The attribute by which items expire. An effect that expires before it was read back is taken for one that never was."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
