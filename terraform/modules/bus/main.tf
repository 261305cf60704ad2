# A bus of EventBridge with rules whose targets are queues, an archive, and a queue for what cannot be delivered. It is
# encrypted with a key of AWS's own where none is named.

locals {
  has_dead = var.create && var.create_dead_letter_queue
  name     = try(aws_cloudwatch_event_bus.this[0].name, null)
  rules    = { for name, rule in var.rules : name => rule if var.create }
}

resource "aws_cloudwatch_event_bus" "this" {
  count = var.create ? 1 : 0

  name               = var.name
  kms_key_identifier = var.kms_key_id

  tags = var.tags
}

resource "aws_cloudwatch_event_archive" "this" {
  count = var.create && var.create_archive ? 1 : 0

  name             = var.name
  event_source_arn = aws_cloudwatch_event_bus.this[0].arn
  retention_days   = var.archive_retention_days
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.rules

  name           = "${var.name}-${each.key}"
  event_bus_name = local.name
  event_pattern  = each.value.event_pattern

  tags = var.tags
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.rules

  rule           = aws_cloudwatch_event_rule.this[each.key].name
  event_bus_name = local.name
  target_id      = each.key
  arn            = each.value.queue_arn

  dynamic "sqs_target" {
    for_each = each.value.message_group_id == null ? [] : [each.value.message_group_id]
    content {
      message_group_id = sqs_target.value
    }
  }

  dynamic "dead_letter_config" {
    for_each = local.has_dead ? [module.dead_letter_queue.arn] : []
    content {
      arn = dead_letter_config.value
    }
  }

  retry_policy {
    maximum_event_age_in_seconds = var.maximum_event_age_seconds
    maximum_retry_attempts       = var.maximum_retry_attempts
  }
}

module "dead_letter_queue" {
  source = "../queue"

  create                    = local.has_dead
  name                      = "${var.name}-undelivered"
  create_dead_letter_queue  = false
  message_retention_seconds = 1209600
  kms_key_id                = var.dead_letter_kms_key_id
  senders = {
    for name, rule in aws_cloudwatch_event_rule.this : name => { service = "events.amazonaws.com", source_arn = rule.arn }
  }
  tags = var.tags
}
