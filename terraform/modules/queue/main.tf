# A queue of SQS and its dead-letter queue: encrypted, reached over TLS alone, and open to those senders that are named.

locals {
  suffix   = var.fifo ? ".fifo" : ""
  name     = "${var.name}${local.suffix}"
  dead     = "${var.name}-dlq${local.suffix}"
  has_dead = var.create && var.create_dead_letter_queue

  # A statement that allows nothing: whoever does not speak TLS is refused.
  tls_only = {
    Sid       = "RefuseWithoutTLS"
    Effect    = "Deny"
    Principal = "*"
    Action    = "sqs:*"
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  }
}

resource "aws_sqs_queue" "this" {
  count = var.create ? 1 : 0

  name                        = local.name
  fifo_queue                  = var.fifo
  content_based_deduplication = var.fifo ? var.content_based_deduplication : null
  deduplication_scope         = var.fifo ? (var.high_throughput ? "messageGroup" : "queue") : null
  fifo_throughput_limit       = var.fifo ? (var.high_throughput ? "perMessageGroupId" : "perQueue") : null

  visibility_timeout_seconds = var.visibility_timeout_seconds
  message_retention_seconds  = var.message_retention_seconds
  receive_wait_time_seconds  = var.receive_wait_time_seconds
  delay_seconds              = var.delay_seconds

  sqs_managed_sse_enabled           = var.kms_key_id == null ? true : null
  kms_master_key_id                 = var.kms_key_id
  kms_data_key_reuse_period_seconds = var.kms_key_id == null ? null : var.kms_data_key_reuse_period_seconds

  tags = var.tags
}

resource "aws_sqs_queue_redrive_policy" "this" {
  count = local.has_dead ? 1 : 0

  queue_url = aws_sqs_queue.this[0].id
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter[0].arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue_policy" "this" {
  count = var.create ? 1 : 0

  queue_url = aws_sqs_queue.this[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [merge(local.tls_only, { Resource = aws_sqs_queue.this[0].arn })],
      [for name, sender in var.senders : {
        Sid       = "Send${replace(title(replace(name, "/[^A-Za-z0-9]/", " ")), " ", "")}"
        Effect    = "Allow"
        Principal = { Service = sender.service }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.this[0].arn
        Condition = { ArnEquals = { "aws:SourceArn" = sender.source_arn } }
      }],
    )
  })
}

resource "aws_sqs_queue" "dead_letter" {
  count = local.has_dead ? 1 : 0

  name       = local.dead
  fifo_queue = var.fifo

  # As long as there is: the age of a dead letter goes on counting from when it was first sent.
  message_retention_seconds  = 1209600
  receive_wait_time_seconds  = var.receive_wait_time_seconds
  visibility_timeout_seconds = var.visibility_timeout_seconds

  sqs_managed_sse_enabled           = var.kms_key_id == null ? true : null
  kms_master_key_id                 = var.kms_key_id
  kms_data_key_reuse_period_seconds = var.kms_key_id == null ? null : var.kms_data_key_reuse_period_seconds

  tags = var.tags
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letter" {
  count = local.has_dead ? 1 : 0

  queue_url = aws_sqs_queue.dead_letter[0].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this[0].arn]
  })
}

resource "aws_sqs_queue_policy" "dead_letter" {
  count = local.has_dead ? 1 : 0

  queue_url = aws_sqs_queue.dead_letter[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.tls_only, { Resource = aws_sqs_queue.dead_letter[0].arn })]
  })
}
