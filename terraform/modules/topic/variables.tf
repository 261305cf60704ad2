variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the topic, without `.fifo`."
  type        = string
}

variable "fifo" {
  description = "A FIFO topic."
  type        = bool
  default     = false
}

variable "content_based_deduplication" {
  description = "Of a FIFO topic: the body's hash is the deduplication id where a sender gives none."
  type        = bool
  default     = false
}

variable "kms_key_id" {
  description = "The key of KMS that the topic is encrypted with."
  type        = string
  default     = "alias/aws/sns"

  validation {
    condition     = var.kms_key_id != ""
    error_message = "A topic is encrypted; name a key, or leave it out for alias/aws/sns."
  }
}

variable "subscriptions" {
  description = "The queues that the topic sends to, by the name that a scenario has for the subscription. `dead_letter_queue_arn` is that of the queue, and is only told to gameday. The queue's policy has to let the topic send (`senders` of the module queue)."
  type = map(object({
    queue_arn             = string
    dead_letter_queue_arn = optional(string)
    raw_message_delivery  = optional(bool, false)
    filter_policy         = optional(string)
    filter_policy_scope   = optional(string, "MessageAttributes")
  }))
  default = {}
}

variable "create_dead_letter_queue" {
  description = "Whether what cannot be delivered to a subscription goes to a queue, `NAME-undelivered`."
  type        = bool
  default     = true
}

variable "dead_letter_kms_key_id" {
  description = "A key of KMS for that queue, which has to let SNS use it; null: SSE-SQS."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
