# `tofu output -json > outputs.json`, then `gameday run … --terraform-outputs outputs.json`: it takes the one of these that
# its scenario can attach to.

output "queue" {
  description = "For a scenario of SQS."
  value       = module.orders.attach
}

output "topic" {
  description = "For a scenario of SNS whose subscription is called `orders`."
  value       = module.topic.attach
}

output "bus" {
  description = "For a scenario of EventBridge whose subscription is called `orders`."
  value       = module.bus.attach
}

output "stream" {
  description = "For a scenario of Kinesis."
  value       = module.stream.attach
}

output "effects" {
  description = "What stands under `effects` in a scenario whose consumers write there."
  value       = module.effects.effects
}

output "role_arns" {
  description = "The roles of a run."
  value       = module.access.role_arns
}

output "hosts" {
  description = "hosts.yaml: `tofu output -raw hosts > hosts.yaml`."
  value       = module.fleet.hosts
}

output "cluster_name" {
  description = "The fleet's cluster."
  value       = module.fleet.cluster_name
}

output "undelivered" {
  description = "Queues of what topic and bus could not deliver."
  value       = [module.topic.dead_letter_queue_name, module.bus.dead_letter_queue_name]
}

output "alarm_arns" {
  description = "The alarms, by name."
  value       = module.observability.alarm_arns
}

output "grafana_url" {
  description = "Where Grafana is."
  value       = module.observability.grafana_url
}

output "fis_template_ids" {
  description = "Experiments, by name."
  value       = module.fis.template_ids
}
