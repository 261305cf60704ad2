output "hosts" {
  description = "What stands in hosts.yaml for `gameday run --hosts`, in YAML. The conductor listens on each of its addresses; the security group lets the fleet alone reach the port."
  value = var.create ? yamlencode({
    listen  = "0.0.0.0:${local.port}"
    history = "s3://${aws_s3_bucket.history[0].bucket}/${trimsuffix(var.history_prefix, "/")}"
    hosts   = [for name, part in local.hosts : { name = name, does = [part] }]
  }) : null
}

output "history" {
  description = "Bucket and prefix to which hosts ship their histories: `history` of the module access."
  value       = var.create ? { bucket_arn = aws_s3_bucket.history[0].arn, prefix = var.history_prefix } : null
}

output "exec_policy" {
  description = "What the conductor's role needs so that a person comes in by `aws ecs execute-command`, as a policy document in JSON (`extra_policies` of the module access)."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"]
    }]
  })
}

output "cluster_name" {
  description = "Name of the cluster: `aws ecs execute-command --cluster NAME --container conductor …`."
  value       = try(aws_ecs_cluster.this[0].name, null)
}

output "conductor" {
  description = "Where hosts find the conductor."
  value       = var.create ? "${local.conductor}:${local.port}" : null
}

output "security_group_id" {
  description = "The hosts' security group: interface endpoints have to let it in on port 443."
  value       = try(aws_security_group.this[0].id, null)
}

output "log_group_name" {
  description = "Name of the log group of all tasks."
  value       = try(aws_cloudwatch_log_group.this[0].name, null)
}
