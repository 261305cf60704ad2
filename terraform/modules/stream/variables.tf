variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the stream."
  type        = string
}

variable "on_demand" {
  description = "Capacity as it is needed; else `shard_count`."
  type        = bool
  default     = false
}

variable "shard_count" {
  description = "How many shards a provisioned stream has."
  type        = number
  default     = 2

  validation {
    condition     = var.shard_count >= 1
    error_message = "At least one."
  }
}

variable "retention_hours" {
  description = "How long a record is kept; longer than load and drain of a run."
  type        = number
  default     = 24

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "From 24 to 8760."
  }
}

variable "kms_key_id" {
  description = "The key of KMS that the stream is encrypted with."
  type        = string
  default     = "alias/aws/kinesis"
  nullable    = false

  validation {
    condition     = var.kms_key_id != ""
    error_message = "A stream is encrypted; name a key, or leave it out for alias/aws/kinesis."
  }
}

variable "shard_level_metrics" {
  description = "What CloudWatch counts by shard. Each costs as a metric of one's own does."
  type        = set(string)
  default     = ["IteratorAgeMilliseconds", "WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"]
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
