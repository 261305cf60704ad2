variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the queue, without `.fifo`. The dead-letter queue is called `NAME-dlq`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,71}$", var.name))
    error_message = "Letters, digits, hyphens and underscores, at most 71: `-dlq.fifo` has to fit behind it."
  }
}

variable "fifo" {
  description = "A FIFO queue, with a FIFO dead-letter queue."
  type        = bool
  default     = false
}

variable "content_based_deduplication" {
  description = "Of a FIFO queue: the body's hash is the deduplication id where a sender gives none."
  type        = bool
  default     = false
}

variable "high_throughput" {
  description = "Of a FIFO queue: limits and deduplication count per message group."
  type        = bool
  default     = false
}

variable "visibility_timeout_seconds" {
  description = "How long a received message stays hidden; six times the work on a message, or more."
  type        = number
  default     = 30
}

variable "message_retention_seconds" {
  description = "How long a message is kept; longer than load and drain of a run."
  type        = number
  default     = 345600
}

variable "receive_wait_time_seconds" {
  description = "How long a receive waits for messages (long polling)."
  type        = number
  default     = 20
}

variable "delay_seconds" {
  description = "How long every new message is kept back."
  type        = number
  default     = 0
}

variable "create_dead_letter_queue" {
  description = "Whether there is a dead-letter queue."
  type        = bool
  default     = true
}

variable "max_receive_count" {
  description = "Receives before a message goes to the dead-letter queue."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receive_count >= 1 && var.max_receive_count <= 1000
    error_message = "From 1 to 1000."
  }
}

variable "kms_key_id" {
  description = "A key of KMS (id, ARN or alias); null: SSE-SQS, with keys of SQS's own."
  type        = string
  default     = null
}

variable "kms_data_key_reuse_period_seconds" {
  description = "With `kms_key_id`: how long a data key is used before KMS is asked for another."
  type        = number
  default     = 300
}

variable "senders" {
  description = "AWS services that may send to the queue, each for one topic or rule: `{to-orders = {service = \"sns.amazonaws.com\", source_arn = TOPIC}}`. Principals of the account need no entry: their own policies allow them."
  type = map(object({
    service    = string
    source_arn = string
  }))
  default = {}

  validation {
    condition     = alltrue([for sender in values(var.senders) : endswith(sender.service, ".amazonaws.com")])
    error_message = "`service` is the principal of an AWS service, such as sns.amazonaws.com."
  }
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
