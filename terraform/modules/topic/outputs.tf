output "arn" {
  description = "ARN of the topic."
  value       = local.arn
}

output "name" {
  description = "Name of the topic."
  value       = try(aws_sns_topic.this[0].name, null)
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
  description = "What `gameday run --terraform-outputs` attaches to: `topology.attach` of a scenario of SNS."
  value = var.create ? {
    topic = local.arn
    subscriptions = {
      for name, subscription in var.subscriptions : name => {
        for key, arn in { queue = subscription.queue_arn, dead_letter_queue = subscription.dead_letter_queue_arn } :
        key => arn if arn != null
      }
    }
  } : null
}
