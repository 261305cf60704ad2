# Experiments of AWS's Fault Injection Service: templates, the role that FIS takes on for them, and the alarm that stops
# them. A scenario strikes with one by `{fault: fis, template: ID}`.

locals {
  # What FIS needs for an action (service-authorization, "Actions, resources and condition keys for AWS FIS"; userguide,
  # "AWS FIS actions reference"). Of another action, `role_policy` says it.
  needed = {
    "aws:kinesis:stream-provisioned-throughput-exception" = ["kinesis:InjectApiError"]
    "aws:kinesis:stream-expired-iterator-exception"       = ["kinesis:InjectApiError"]
    "aws:ecs:stop-task"                                   = ["ecs:StopTask", "ecs:DescribeTasks"]
    "aws:ec2:terminate-instances"                         = ["ec2:TerminateInstances"]
  }

  templates = { for name, template in var.templates : name => template if var.create }
  allowed = [for name, template in local.templates : {
    Effect   = "Allow"
    Action   = local.needed[template.action_id]
    Resource = template.target_arns
  } if contains(keys(local.needed), template.action_id)]
  statements = concat(local.allowed, var.role_policy == null ? [] : jsondecode(var.role_policy).Statement)

  stops = concat(aws_cloudwatch_metric_alarm.stop[*].arn, var.stop_alarm_arns)
}

data "aws_caller_identity" "current" {
  count = var.create ? 1 : 0
}

resource "aws_iam_role" "this" {
  count = var.create ? 1 : 0

  name        = "${var.name}-fis"
  description = "What FIS may do in experiments of ${var.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "fis.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current[0].account_id } }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "this" {
  count = var.create && length(var.templates) > 0 ? 1 : 0

  name   = "experiments"
  role   = aws_iam_role.this[0].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })

  lifecycle {
    precondition {
      condition     = length(local.statements) > 0
      error_message = "FIS would be allowed nothing: say with role_policy what the actions need."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "stop" {
  count = var.create && var.stop_on_age != null ? 1 : 0

  alarm_name        = "${var.name}-fis-stop"
  alarm_description = "Stops the experiments of ${var.name}: the oldest message of ${var.stop_on_age.queue_name} is too old."

  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = var.stop_on_age.queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.stop_on_age.seconds
  treat_missing_data  = "notBreaching"

  tags = var.tags
}

resource "aws_fis_experiment_template" "this" {
  for_each = local.templates

  description = each.value.description
  role_arn    = aws_iam_role.this[0].arn

  dynamic "stop_condition" {
    for_each = local.stops
    content {
      source = "aws:cloudwatch:alarm"
      value  = stop_condition.value
    }
  }

  action {
    name      = each.key
    action_id = each.value.action_id

    dynamic "parameter" {
      for_each = each.value.parameters
      content {
        key   = parameter.key
        value = parameter.value
      }
    }

    target {
      key   = each.value.target_key
      value = "struck"
    }
  }

  target {
    name           = "struck"
    resource_type  = each.value.resource_type
    selection_mode = each.value.selection_mode
    resource_arns  = each.value.target_arns
  }

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })

  lifecycle {
    precondition {
      condition     = var.stop_on_age != null || length(var.stop_alarm_arns) > 0
      error_message = "Nothing would stop the experiment: say stop_on_age, or name alarms in stop_alarm_arns."
    }
  }
}
