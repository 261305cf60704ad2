# A topic of SNS with its subscriptions, which are queues: encrypted, reached over TLS alone, and what cannot be delivered
# goes to a queue of its own.

locals {
  suffix   = var.fifo ? ".fifo" : ""
  has_dead = var.create && var.create_dead_letter_queue
  arn      = try(aws_sns_topic.this[0].arn, null)
}

data "aws_caller_identity" "current" {
  count = var.create ? 1 : 0
}

data "aws_partition" "current" {
  count = var.create ? 1 : 0
}

resource "aws_sns_topic" "this" {
  count = var.create ? 1 : 0

  name                        = "${var.name}${local.suffix}"
  fifo_topic                  = var.fifo
  content_based_deduplication = var.fifo ? var.content_based_deduplication : null
  kms_master_key_id           = var.kms_key_id

  tags = var.tags
}

resource "aws_sns_topic_policy" "this" {
  count = var.create ? 1 : 0

  arn = aws_sns_topic.this[0].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RefuseWithoutTLS"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.this[0].arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        # The account's own policies say who of it may; a topic has to have one statement that allows.
        Sid       = "TheAccount"
        Effect    = "Allow"
        Principal = { AWS = "arn:${data.aws_partition.current[0].partition}:iam::${data.aws_caller_identity.current[0].account_id}:root" }
        Action    = ["sns:Publish", "sns:Subscribe", "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic"]
        Resource  = aws_sns_topic.this[0].arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "this" {
  for_each = { for name, subscription in var.subscriptions : name => subscription if var.create }

  topic_arn            = aws_sns_topic.this[0].arn
  protocol             = "sqs"
  endpoint             = each.value.queue_arn
  raw_message_delivery = each.value.raw_message_delivery
  filter_policy        = each.value.filter_policy
  filter_policy_scope  = each.value.filter_policy == null ? null : each.value.filter_policy_scope
  redrive_policy       = local.has_dead ? jsonencode({ deadLetterTargetArn = module.dead_letter_queue.arn }) : null
}

module "dead_letter_queue" {
  source = "../queue"

  create                    = local.has_dead
  name                      = "${var.name}-undelivered"
  fifo                      = var.fifo
  create_dead_letter_queue  = false
  message_retention_seconds = 1209600
  kms_key_id                = var.dead_letter_kms_key_id
  senders                   = { topic = { service = "sns.amazonaws.com", source_arn = local.arn } }
  tags                      = var.tags
}
