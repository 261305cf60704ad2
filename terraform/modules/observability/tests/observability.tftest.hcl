mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/vendedlogs/prometheus/staging" }
  }
  mock_resource "aws_prometheus_workspace" {
    defaults = {
      arn                 = "arn:aws:aps:eu-west-1:123456789012:workspace/ws-1"
      prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/"
    }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/staging-grafana" }
  }
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:one" }
  }
}

variables {
  name = "staging"
  queues = {
    orders = { queue_name = "orders", dead_letter_queue_name = "orders-dlq", age_seconds = 120 }
  }
  streams = {
    clicks = { stream_name = "clicks" }
  }
}

run "alarms_at_the_first_dead_letter_and_at_age" {
  command = plan
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.dead_letters["orders"].dimensions == tomap({ QueueName = "orders-dlq" })
      && aws_cloudwatch_metric_alarm.dead_letters["orders"].threshold == 0
      && aws_cloudwatch_metric_alarm.dead_letters["orders"].comparison_operator == "GreaterThanThreshold"
    )
    error_message = "A dead letter raises no alarm."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.age["orders"].metric_name == "ApproximateAgeOfOldestMessage"
      && aws_cloudwatch_metric_alarm.age["orders"].threshold == 120
    )
    error_message = "An old message raises no alarm."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.iterator_age["clicks"].threshold == 300000
    error_message = "Iterator age is in milliseconds."
  }
}

run "has_a_dashboard_of_what_is_watched" {
  assert {
    condition = [for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget.properties.title] == [
      "Oldest message", "Messages in the queue", "Dead letters", "Iterator age",
    ]
    error_message = "The dashboard shows something else."
  }
}

run "has_a_prometheus_that_a_run_writes_to" {
  assert {
    condition = yamldecode(output.remote_write).remote_write == [{
      url   = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
      sigv4 = { region = "eu-west-1" }
    }]
    error_message = "A Prometheus would write elsewhere."
  }
  assert {
    condition = jsondecode(output.remote_write_policy).Statement == [{
      Effect = "Allow", Action = ["aps:RemoteWrite"], Resource = ["arn:aws:aps:eu-west-1:123456789012:workspace/ws-1"]
    }]
    error_message = "More is allowed than to write."
  }
  assert {
    condition     = length(aws_grafana_workspace.this) == 0
    error_message = "Grafana is there, and nobody asked for it."
  }
}

run "has_a_grafana_that_only_reads" {
  variables {
    create_grafana = true
  }
  assert {
    condition     = aws_grafana_workspace.this[0].authentication_providers == tolist(["AWS_SSO"])
    error_message = "People sign in by something else."
  }
  assert {
    condition = alltrue(flatten([
      for statement in jsondecode(aws_iam_role_policy.grafana[0].policy).Statement : [
        for action in statement.Action : can(regex("^(cloudwatch|aps):(Get|List|Describe|Query)[A-Za-z]+$", action))
      ]
    ]))
    error_message = "Grafana may change something."
  }
  assert {
    condition = jsondecode(aws_iam_role.grafana[0].assume_role_policy).Statement[0].Condition == {
      StringEquals = { "aws:SourceAccount" = "123456789012" }
    }
    error_message = "A workspace of another account may take the role on."
  }
}

run "makes_nothing" {
  command = plan
  variables {
    create         = false
    create_grafana = true
  }
  assert {
    condition = (
      length(aws_prometheus_workspace.this) + length(aws_grafana_workspace.this) + length(aws_cloudwatch_metric_alarm.age)
      + length(aws_cloudwatch_metric_alarm.dead_letters) + length(aws_cloudwatch_dashboard.this) == 0
    )
    error_message = "Something is made."
  }
}
