output "arn" {
  description = "ARN of the bus."
  value       = try(aws_cloudwatch_event_bus.this[0].arn, null)
}

output "name" {
  description = "Name of the bus."
  value       = local.name
}

output "rule_arns" {
  description = "ARNs of the rules, by subscription: what `senders` of a queue names."
  value       = { for name, rule in aws_cloudwatch_event_rule.this : name => rule.arn }
}

output "archive_arn" {
  description = "ARN of the archive."
  value       = try(aws_cloudwatch_event_archive.this[0].arn, null)
}

output "dead_letter_queue_name" {
  description = "Name of the queue for what could not be delivered."
  value       = module.dead_letter_queue.name
}

output "dead_letter_queue_arn" {
  description = "ARN of the queue for what could not be delivered."
  value       = module.dead_letter_queue.arn
}

output "attach" {
  description = "What `gameday run --terraform-outputs` attaches to: `topology.attach` of a scenario of EventBridge."
  value = var.create ? {
    bus = aws_cloudwatch_event_bus.this[0].arn
    subscriptions = {
      for name, rule in var.rules : name => {
        for key, value in {
          rule              = aws_cloudwatch_event_rule.this[name].name
          queue             = rule.queue_arn
          dead_letter_queue = rule.dead_letter_queue_arn
        } : key => value if value != null
      }
    }
  } : null
}
