mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/staging-fis" }
  }
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:staging-fis-stop" }
  }
}

variables {
  name        = "staging"
  stop_on_age = { queue_name = "orders", seconds = 300 }
  templates = {
    throttle = {
      description   = "Half of what producers put is refused"
      action_id     = "aws:kinesis:stream-provisioned-throughput-exception"
      parameters    = { duration = "PT2M", percentage = "50" }
      target_key    = "KinesisStreams"
      resource_type = "aws:kinesis:stream"
      target_arns   = ["arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"]
    }
  }
}

run "stops_at_an_alarm" {
  assert {
    condition = [for stop in aws_fis_experiment_template.this["throttle"].stop_condition : stop] == [{
      source = "aws:cloudwatch:alarm", value = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:staging-fis-stop"
    }]
    error_message = "Nothing stops the experiment."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.stop[0].dimensions == tomap({ QueueName = "orders" }) && aws_cloudwatch_metric_alarm.stop[0].threshold == 300
    error_message = "The alarm looks at something else."
  }
}

run "may_strike_what_is_named_and_nothing_else" {
  assert {
    condition = jsondecode(aws_iam_role_policy.this[0].policy).Statement == [{
      Effect   = "Allow"
      Action   = ["kinesis:InjectApiError"]
      Resource = ["arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"]
    }]
    error_message = "The role may more than the experiment needs."
  }
  assert {
    condition = jsondecode(aws_iam_role.this[0].assume_role_policy).Statement == [{
      Effect    = "Allow"
      Principal = { Service = "fis.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }]
    error_message = "Others than FIS may take the role on."
  }
}

run "refuses_an_experiment_that_nothing_stops" {
  command = plan
  variables {
    stop_on_age = null
  }
  expect_failures = [aws_fis_experiment_template.this]
}

run "refuses_to_strike_by_a_wildcard" {
  command = plan
  variables {
    templates = {
      all = { description = "all", action_id = "aws:ecs:stop-task", target_key = "Tasks", resource_type = "aws:ecs:task", target_arns = ["arn:aws:ecs:*"] }
    }
  }
  expect_failures = [var.templates]
}

run "refuses_an_action_for_which_nobody_says_what_it_needs" {
  command = plan
  variables {
    templates = {
      pause = { description = "pause", action_id = "aws:dynamodb:global-table-pause-replication", target_key = "Tables", resource_type = "aws:dynamodb:global-table", target_arns = ["arn:aws:dynamodb:eu-west-1:123456789012:table/orders"] }
    }
  }
  expect_failures = [aws_iam_role_policy.this]
}

run "makes_nothing" {
  command = plan
  variables {
    create = false
  }
  assert {
    condition     = length(aws_iam_role.this) + length(aws_fis_experiment_template.this) + length(aws_cloudwatch_metric_alarm.stop) == 0
    error_message = "Something is made."
  }
}
