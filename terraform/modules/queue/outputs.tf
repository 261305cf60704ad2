output "arn" {
  description = "ARN of the queue."
  value       = try(aws_sqs_queue.this[0].arn, null)
}

output "url" {
  description = "URL of the queue."
  value       = try(aws_sqs_queue.this[0].id, null)
}

output "name" {
  description = "Name of the queue."
  value       = try(aws_sqs_queue.this[0].name, null)
}

output "dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue."
  value       = try(aws_sqs_queue.dead_letter[0].arn, null)
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue."
  value       = try(aws_sqs_queue.dead_letter[0].id, null)
}

output "dead_letter_queue_name" {
  description = "Name of the dead-letter queue."
  value       = try(aws_sqs_queue.dead_letter[0].name, null)
}

# A `for`, because what a condition chooses between has to have one type.
output "attach" {
  description = "What `gameday run --terraform-outputs` attaches to: `topology.attach` of a scenario of SQS."
  value = var.create ? { for key, url in {
    queue             = aws_sqs_queue.this[0].id
    dead_letter_queue = try(aws_sqs_queue.dead_letter[0].id, null)
  } : key => url if url != null } : null
}
