mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:orders" }
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
  subscriptions = {
    audit = {
      queue_arn             = "arn:aws:sqs:eu-west-1:123456789012:audit"
      dead_letter_queue_arn = "arn:aws:sqs:eu-west-1:123456789012:audit-dlq"
      filter_policy         = "{\"kind\":[\"paid\"]}"
    }
  }
}

run "is_encrypted_and_keeps_what_cannot_be_delivered" {
  assert {
    condition     = aws_sns_topic.this[0].kms_master_key_id == "alias/aws/sns"
    error_message = "The topic is not encrypted."
  }
  assert {
    condition = jsondecode(aws_sns_topic_subscription.this["audit"].redrive_policy) == {
      deadLetterTargetArn = output.dead_letter_queue_arn
    }
    error_message = "What cannot be delivered is lost."
  }
  assert {
    condition     = output.dead_letter_queue_name == "orders-undelivered"
    error_message = "The queue for what cannot be delivered is not there."
  }
  assert {
    condition     = aws_sns_topic_subscription.this["audit"].filter_policy_scope == "MessageAttributes"
    error_message = "The filter looks at something else."
  }
  assert {
    condition = output.attach == {
      topic = "arn:aws:sns:eu-west-1:123456789012:orders"
      subscriptions = {
        audit = {
          queue             = "arn:aws:sqs:eu-west-1:123456789012:audit"
          dead_letter_queue = "arn:aws:sqs:eu-west-1:123456789012:audit-dlq"
        }
      }
    }
    error_message = "gameday would attach to something else."
  }
}

run "allows_the_account_alone_and_tls_alone" {
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_sns_topic_policy.this[0].policy).Statement :
      statement.Effect == "Deny" || try(statement.Principal.AWS, "") == "arn:aws:iam::123456789012:root"
    ])
    error_message = "The policy allows others than the account."
  }
  assert {
    condition = anytrue([
      for statement in jsondecode(aws_sns_topic_policy.this[0].policy).Statement :
      statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "The topic is reached without TLS."
  }
}

run "is_fifo_with_a_fifo_queue_behind_it" {
  variables {
    fifo = true
  }
  assert {
    condition     = aws_sns_topic.this[0].name == "orders.fifo" && output.dead_letter_queue_name == "orders-undelivered.fifo"
    error_message = "A name does not end with .fifo."
  }
}

run "refuses_to_be_in_the_clear" {
  command = plan
  variables {
    kms_key_id = ""
  }
  expect_failures = [var.kms_key_id]
}

run "makes_nothing" {
  command = plan
  variables {
    create = false
  }
  assert {
    condition     = length(aws_sns_topic.this) + length(aws_sns_topic_subscription.this) == 0 && output.attach == null
    error_message = "Something is made."
  }
}
