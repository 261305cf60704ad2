# What a game day is watched with on AWS: a workspace of Amazon Managed Prometheus that runs write to, a workspace of
# Amazon Managed Grafana that reads it and CloudWatch, alarms on dead letters and age, and a dashboard of CloudWatch's.

locals {
  prometheus = var.create && var.create_prometheus
  grafana    = var.create && var.create_grafana
  queues     = { for name, queue in var.queues : name => queue if var.create }
  dead       = { for name, queue in local.queues : name => queue if queue.dead_letter_queue_name != null }
  streams    = { for name, stream in var.streams : name => stream if var.create }
  dashboard  = var.create && var.create_dashboard && length(var.queues) + length(var.streams) > 0

  widget_titles = ["Oldest message", "Messages in the queue", "Dead letters", "Iterator age"]
  region        = try(data.aws_region.current[0].region, "")
  widget_metrics = [
    [for queue in local.queues : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.queue_name]],
    [for queue in local.queues : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.queue_name]],
    [for queue in local.dead : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.dead_letter_queue_name]],
    [for stream in local.streams : ["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", stream.stream_name]],
  ]
  widgets = [for number, title in local.widget_titles : {
    title = title, metrics = local.widget_metrics[number]
  } if length(local.widget_metrics[number]) > 0]
}

data "aws_caller_identity" "current" {
  count = local.grafana ? 1 : 0
}

data "aws_region" "current" {
  count = var.create ? 1 : 0
}

# Prometheus

resource "aws_prometheus_workspace" "this" {
  count = local.prometheus ? 1 : 0

  alias       = var.name
  kms_key_arn = var.kms_key_arn

  logging_configuration {
    log_group_arn = "${aws_cloudwatch_log_group.prometheus[0].arn}:*"
  }

  tags = var.tags
}

resource "aws_cloudwatch_log_group" "prometheus" {
  count = local.prometheus ? 1 : 0

  name              = "/aws/vendedlogs/prometheus/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn

  tags = var.tags
}

resource "aws_prometheus_rule_group_namespace" "this" {
  count = local.prometheus && var.prometheus_rules != null ? 1 : 0

  name         = "gameday"
  workspace_id = aws_prometheus_workspace.this[0].id
  data         = var.prometheus_rules
}

# Grafana

resource "aws_grafana_workspace" "this" {
  count = local.grafana ? 1 : 0

  name                     = var.name
  account_access_type      = "CURRENT_ACCOUNT"
  authentication_providers = ["AWS_SSO"]
  permission_type          = "CUSTOMER_MANAGED"
  data_sources             = ["PROMETHEUS", "CLOUDWATCH"]
  grafana_version          = var.grafana_version
  role_arn                 = aws_iam_role.grafana[0].arn

  tags = var.tags
}

resource "aws_iam_role" "grafana" {
  count = local.grafana ? 1 : 0

  name        = "${var.name}-grafana"
  description = "What Grafana may read for ${var.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "grafana.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current[0].account_id } }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "grafana" {
  count = local.grafana ? 1 : 0

  name = "read"
  role = aws_iam_role.grafana[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        # CloudWatch's metrics, and a list of workspaces, cannot be held to a resource.
        Effect   = "Allow"
        Action   = ["cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "cloudwatch:DescribeAlarms", "aps:ListWorkspaces"]
        Resource = ["*"]
      }],
      local.prometheus ? [{
        Effect   = "Allow"
        Action   = ["aps:DescribeWorkspace", "aps:QueryMetrics", "aps:GetLabels", "aps:GetSeries", "aps:GetMetricMetadata"]
        Resource = [aws_prometheus_workspace.this[0].arn]
      }] : [],
    )
  })
}

# CloudWatch

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = local.dead

  alarm_name        = "${var.name}-${each.key}-dead-letters"
  alarm_description = "Messages are in the dead-letter queue of ${each.value.queue_name}."

  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.dead_letter_queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "age" {
  for_each = local.queues

  alarm_name        = "${var.name}-${each.key}-age"
  alarm_description = "The oldest message of ${each.value.queue_name} waits for more than ${each.value.age_seconds} s."

  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value.queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.age_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "iterator_age" {
  for_each = local.streams

  alarm_name        = "${var.name}-${each.key}-iterator-age"
  alarm_description = "A reader of ${each.value.stream_name} is more than ${each.value.age_seconds} s behind."

  namespace           = "AWS/Kinesis"
  metric_name         = "GetRecords.IteratorAgeMilliseconds"
  dimensions          = { StreamName = each.value.stream_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.age_seconds * 1000
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  tags = var.tags
}

resource "aws_cloudwatch_dashboard" "this" {
  count = local.dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for number, widget in local.widgets : {
      type   = "metric"
      x      = 12 * (number % 2)
      y      = 6 * floor(number / 2)
      width  = 12
      height = 6
      properties = {
        title   = widget.title
        region  = local.region
        view    = "timeSeries"
        stat    = "Maximum"
        period  = 60
        metrics = widget.metrics
      }
    }]
  })
}
