mock_provider "aws" {
  mock_resource "aws_cloudwatch_event_bus" {
    defaults = { arn = "arn:aws:events:eu-west-1:123456789012:event-bus/orders" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:123456789012:rule/orders/orders-audit" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:orders-undelivered"
      id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-undelivered"
    }
  }
}

variables {
  name = "orders"
  rules = {
    audit = {
      event_pattern = "{\"source\":[\"shop\"]}"
      queue_arn     = "arn:aws:sqs:eu-west-1:123456789012:audit"
    }
  }
}

run "keeps_what_cannot_be_delivered_and_archives" {
  assert {
    condition     = aws_cloudwatch_event_target.this["audit"].dead_letter_config[0].arn == output.dead_letter_queue_arn
    error_message = "What cannot be delivered is lost."
  }
  assert {
    condition     = output.dead_letter_queue_name == "orders-undelivered"
    error_message = "The queue for what cannot be delivered is not there."
  }
  assert {
    condition     = aws_cloudwatch_event_archive.this[0].event_source_arn == output.arn
    error_message = "Another bus is archived."
  }
  assert {
    condition     = aws_cloudwatch_event_target.this["audit"].input == null && aws_cloudwatch_event_target.this["audit"].input_path == null
    error_message = "A target gets something else than the event; gameday refuses to attach to that."
  }
  assert {
    condition = output.attach == {
      bus           = "arn:aws:events:eu-west-1:123456789012:event-bus/orders"
      subscriptions = { audit = { rule = "orders-audit", queue = "arn:aws:sqs:eu-west-1:123456789012:audit" } }
    }
    error_message = "gameday would attach to something else."
  }
}

run "sends_to_a_fifo_queue_with_a_group" {
  variables {
    rules = {
      audit = {
        event_pattern    = "{\"source\":[\"shop\"]}"
        queue_arn        = "arn:aws:sqs:eu-west-1:123456789012:audit.fifo"
        message_group_id = "all"
      }
    }
  }
  assert {
    condition     = aws_cloudwatch_event_target.this["audit"].sqs_target[0].message_group_id == "all"
    error_message = "A FIFO queue refuses what has no group."
  }
}

run "takes_a_key_of_kms" {
  variables {
    kms_key_id = "alias/orders"
  }
  assert {
    condition     = aws_cloudwatch_event_bus.this[0].kms_key_identifier == "alias/orders"
    error_message = "The bus is encrypted with another key."
  }
}

run "makes_nothing" {
  command = plan
  variables {
    create = false
  }
  assert {
    condition     = length(aws_cloudwatch_event_bus.this) + length(aws_cloudwatch_event_rule.this) == 0 && output.attach == null
    error_message = "Something is made."
  }
}
