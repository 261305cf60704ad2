output "role_arns" {
  description = "ARNs of the roles: conductor, load and consumers. They are the `task_role_arns` of the module fleet."
  value       = { for role, made in aws_iam_role.this : role => made.arn }
}

output "role_names" {
  description = "Names of the roles: conductor, load and consumers."
  value       = { for role, made in aws_iam_role.this : role => made.name }
}
