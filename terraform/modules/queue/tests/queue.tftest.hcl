mock_provider "aws" {
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:made"
      id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/made"
    }
  }
}

variables {
  name = "orders"
}

run "is_encrypted_and_has_a_dead_letter_queue_by_default" {
  assert {
    condition     = aws_sqs_queue.this[0].sqs_managed_sse_enabled && aws_sqs_queue.dead_letter[0].sqs_managed_sse_enabled
    error_message = "A queue is not encrypted."
  }
  assert {
    condition     = aws_sqs_queue.dead_letter[0].name == "orders-dlq"
    error_message = "The dead-letter queue has another name."
  }
  assert {
    condition = jsondecode(aws_sqs_queue_redrive_policy.this[0].redrive_policy) == {
      deadLetterTargetArn = aws_sqs_queue.dead_letter[0].arn
      maxReceiveCount     = 5
    }
    error_message = "The queue does not redrive to its dead-letter queue."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letter[0].redrive_allow_policy).redrivePermission == "byQueue"
    error_message = "Any queue may send its dead letters there."
  }
  assert {
    condition     = aws_sqs_queue.dead_letter[0].message_retention_seconds > aws_sqs_queue.this[0].message_retention_seconds
    error_message = "Dead letters are gone as soon as messages."
  }
  assert {
    condition     = aws_sqs_queue.this[0].receive_wait_time_seconds == 20
    error_message = "Receives do not wait."
  }
  assert {
    condition     = output.attach == { queue = output.url, dead_letter_queue = output.dead_letter_queue_url }
    error_message = "gameday would attach to something else."
  }
}

run "allows_nobody_by_default" {
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_sqs_queue_policy.this[0].policy).Statement : statement.Effect == "Deny"
    ])
    error_message = "The policy allows somebody."
  }
  assert {
    condition = alltrue([
      for policy in [aws_sqs_queue_policy.this[0].policy, aws_sqs_queue_policy.dead_letter[0].policy] : anytrue([
        for statement in jsondecode(policy).Statement :
        statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
      ])
    ])
    error_message = "A queue is reached without TLS."
  }
}

run "allows_a_service_for_one_source_alone" {
  variables {
    senders = { to-orders = { service = "sns.amazonaws.com", source_arn = "arn:aws:sns:eu-west-1:123456789012:orders" } }
  }
  assert {
    condition = [
      for statement in jsondecode(aws_sqs_queue_policy.this[0].policy).Statement : statement if statement.Effect == "Allow"
      ] == [{
        Sid       = "SendToOrders"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.this[0].arn
        Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:sns:eu-west-1:123456789012:orders" } }
    }]
    error_message = "More is allowed than one topic's sends."
  }
}

run "refuses_a_sender_that_is_no_service" {
  command = plan
  variables {
    senders = { all = { service = "*", source_arn = "*" } }
  }
  expect_failures = [var.senders]
}

run "is_fifo_with_all_that_belongs_to_it" {
  variables {
    fifo            = true
    high_throughput = true
  }
  assert {
    condition     = aws_sqs_queue.this[0].name == "orders.fifo" && aws_sqs_queue.dead_letter[0].name == "orders-dlq.fifo"
    error_message = "A name does not end with .fifo."
  }
  assert {
    condition     = aws_sqs_queue.dead_letter[0].fifo_queue
    error_message = "The dead-letter queue of a FIFO queue has to be one."
  }
  assert {
    condition     = aws_sqs_queue.this[0].fifo_throughput_limit == "perMessageGroupId"
    error_message = "The throughput limit is that of the queue."
  }
}

run "takes_a_key_of_kms" {
  variables {
    kms_key_id = "alias/orders"
  }
  assert {
    condition = alltrue([
      for queue in [aws_sqs_queue.this[0], aws_sqs_queue.dead_letter[0]] : queue.kms_master_key_id == "alias/orders"
    ])
    error_message = "A queue is encrypted with another key."
  }
}

run "makes_nothing" {
  command = plan
  variables {
    create = false
  }
  assert {
    condition     = length(aws_sqs_queue.this) + length(aws_sqs_queue.dead_letter) + length(aws_sqs_queue_policy.this) == 0
    error_message = "Something is made."
  }
  assert {
    condition     = output.attach == null
    error_message = "There is something to attach to."
  }
}
