output "arn" {
  description = "ARN of the table."
  value       = try(aws_dynamodb_table.this[0].arn, null)
}

output "name" {
  description = "Name of the table."
  value       = try(aws_dynamodb_table.this[0].name, null)
}

output "effects" {
  description = "What stands under `effects` in a scenario whose consumers write there."
  value       = var.create ? { dynamodb = { table = aws_dynamodb_table.this[0].name, key = var.hash_key } } : null
}
