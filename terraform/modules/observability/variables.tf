variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the workspaces and of the dashboard; alarms begin with it."
  type        = string
}

variable "create_prometheus" {
  description = "Whether there is a workspace of Amazon Managed Prometheus. Without it, a Prometheus of your own scrapes the runs."
  type        = bool
  default     = true
}

variable "prometheus_rules" {
  description = "Alert rules in Prometheus' YAML: `file(\"dashboards/prometheus/rules.yml\")`."
  type        = string
  default     = null
}

variable "create_grafana" {
  description = "Whether there is a workspace of Amazon Managed Grafana. It needs IAM Identity Center, where its users are."
  type        = bool
  default     = false
}

variable "grafana_version" {
  description = "Version of Grafana; 10.1 or newer for gameday's dashboards."
  type        = string
  default     = "10.4"
}

variable "queues" {
  description = "Queues that are watched, by a name: an alarm on dead letters, and one where the oldest message is older than `age_seconds` for `minutes`."
  type = map(object({
    queue_name             = string
    dead_letter_queue_name = optional(string)
    age_seconds            = optional(number, 300)
    minutes                = optional(number, 1)
  }))
  default = {}
}

variable "streams" {
  description = "Streams that are watched, by a name: an alarm where a reader is more than `age_seconds` behind for `minutes`."
  type = map(object({
    stream_name = string
    age_seconds = optional(number, 300)
    minutes     = optional(number, 1)
  }))
  default = {}
}

variable "alarm_actions" {
  description = "ARNs of what is told when an alarm goes on and off, such as a topic."
  type        = list(string)
  default     = []
}

variable "create_dashboard" {
  description = "Whether CloudWatch has a dashboard of the queues and streams."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "ARN of a key of KMS for metrics and logs; null: keys of AWS's own. It has to let CloudWatch Logs use it."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs of Prometheus are kept."
  type        = number
  default     = 365
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}
