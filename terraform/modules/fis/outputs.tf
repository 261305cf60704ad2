output "template_ids" {
  description = "Ids of the templates, by name: `template` of the fault `fis`. They have to stand in `chaos_on` of gameday.toml."
  value       = { for name, template in aws_fis_experiment_template.this : name => template.id }
}

output "role_arn" {
  description = "ARN of the role that FIS takes on."
  value       = try(aws_iam_role.this[0].arn, null)
}

output "stop_alarm_arn" {
  description = "ARN of the alarm that stops the experiments: `stop_alarm` of the fault `fis`."
  value       = try(aws_cloudwatch_metric_alarm.stop[0].arn, null)
}
