output "alarm_arns" {
  description = "ARNs of the alarms, by their names: what stops an experiment (`stop_alarm_arns` of the module fis)."
  value = {
    for alarm in concat(
      values(aws_cloudwatch_metric_alarm.dead_letters),
      values(aws_cloudwatch_metric_alarm.age),
      values(aws_cloudwatch_metric_alarm.iterator_age),
    ) : alarm.alarm_name => alarm.arn
  }
}

output "prometheus_endpoint" {
  description = "URL of the Prometheus workspace, for a data source of Grafana's (signed with SigV4)."
  value       = try(aws_prometheus_workspace.this[0].prometheus_endpoint, null)
}

output "remote_write" {
  description = "The section `remote_write` of a Prometheus beside the conductor that hands on what it scrapes, in YAML."
  value = local.prometheus ? yamlencode({
    remote_write = [{
      url   = "${aws_prometheus_workspace.this[0].prometheus_endpoint}api/v1/remote_write"
      sigv4 = { region = local.region }
    }]
  }) : null
}

output "remote_write_policy" {
  description = "What the role of that Prometheus needs, as a policy document in JSON (`extra_policies` of the module access)."
  value = local.prometheus ? jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["aps:RemoteWrite"], Resource = [aws_prometheus_workspace.this[0].arn] }]
  }) : null
}

output "grafana_url" {
  description = "URL of the Grafana workspace: `gameday dashboards push --grafana URL`."
  value       = try("https://${aws_grafana_workspace.this[0].endpoint}", null)
}
