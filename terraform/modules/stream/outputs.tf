output "arn" {
  description = "ARN of the stream."
  value       = try(aws_kinesis_stream.this[0].arn, null)
}

output "name" {
  description = "Name of the stream."
  value       = try(aws_kinesis_stream.this[0].name, null)
}

output "attach" {
  description = "What `gameday run --terraform-outputs` attaches to: `topology.attach` of a scenario of Kinesis."
  value       = var.create ? { stream = aws_kinesis_stream.this[0].arn } : null
}
