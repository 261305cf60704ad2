variable "region" {
  description = "The region."
  type        = string
}

variable "name" {
  description = "What all names begin with. Where `prod`, `prd` or `live` is a word of it, gameday.toml has to spell it out."
  type        = string
  default     = "gameday-staging"
}

variable "visibility_timeout_seconds" {
  description = "Of the queues."
  type        = number
  default     = 30
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the table of effects."
  type        = bool
  default     = true
}

variable "policies_file" {
  description = "What `gameday policy SCENARIO --terraform-outputs outputs.json` printed. It needs the outputs of a first apply; null until then, and the roles may nothing."
  type        = string
  default     = null
}

variable "trusted_principal_arns" {
  description = "ARNs of users and roles that may take on the roles of a run."
  type        = list(string)
  default     = []
}

variable "create_fleet" {
  description = "Whether there is a fleet, in a VPC of its own. It costs while it stands: two instances, and fourteen interface endpoints in two zones."
  type        = bool
  default     = false
}

variable "running" {
  description = "Whether the fleet's tasks run."
  type        = bool
  default     = true
}

variable "image" {
  description = "The fleet's image, in which the command `gameday` is installed, by its digest."
  type        = string
  default     = "gameday"
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that it is in."
  type        = string
  default     = null
}

variable "history_bucket" {
  description = "Name of the fleet's bucket; names of buckets are the whole world's. null: NAME-history."
  type        = string
  default     = null
}

variable "vpc_cidr" {
  description = "Addresses of the fleet's VPC, a /16."
  type        = string
  default     = "10.20.0.0/16"
}

variable "create_prometheus" {
  description = "Whether there is a workspace of Amazon Managed Prometheus."
  type        = bool
  default     = false
}

variable "prometheus_rules_file" {
  description = "Alert rules for it: gameday's are dashboards/prometheus/rules.yml."
  type        = string
  default     = null
}

variable "create_grafana" {
  description = "Whether there is a workspace of Amazon Managed Grafana. It needs IAM Identity Center."
  type        = bool
  default     = false
}

variable "create_fis" {
  description = "Whether there is an experiment of FIS."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = { project = "gameday" }
}
