variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the cluster; what else is made begins with it."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, from which the endpoints of AWS in `egress` are reached."
  type        = list(string)
}

variable "namespace" {
  description = "Private DNS namespace of Cloud Map, made here; the conductor is `conductor.NAMESPACE`."
  type        = string
  default     = "gameday.internal"
}

variable "image" {
  description = "An image of yours in which the command `gameday` is installed, by its digest."
  type        = string
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that it is in; null: a registry that asks for no credentials."
  type        = string
  default     = null
}

variable "task_role_arns" {
  description = "ARNs of the roles conductor, load and consumers: `role_arns` of the module access."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.task_role_arns), ["conductor", "load", "consumers"])) == 0
    error_message = "The roles are conductor, load and consumers."
  }
}

variable "consumer_hosts" {
  description = "Names of the hosts that consume, as hosts.yaml has them: one EC2 instance each."
  type        = set(string)
  default     = ["consumers-1", "consumers-2"]

  validation {
    condition     = alltrue([for name in var.consumer_hosts : can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", name)) && length(name) <= 32])
    error_message = "Lower case letters, digits and hyphens, at most 32."
  }
}

variable "load_hosts" {
  description = "Names of the hosts that send, as hosts.yaml has them: one task of Fargate each."
  type        = set(string)
  default     = ["load-1"]

  validation {
    condition     = alltrue([for name in var.load_hosts : can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", name)) && length(name) <= 32])
    error_message = "Lower case letters, digits and hyphens, at most 32."
  }
  validation {
    condition     = length(setintersection(var.load_hosts, var.consumer_hosts)) == 0
    error_message = "A host of this module does one thing; name each once."
  }
}

variable "running" {
  description = "Whether tasks run. `false` between game days: instances stay, and cost."
  type        = bool
  default     = true
}

variable "wait" {
  description = "How long a host waits for a conductor before ECS starts it anew."
  type        = string
  default     = "12h"
}

variable "egress" {
  description = "What the hosts reach on port 443 besides the conductor, each by a name: security groups of interface endpoints (SQS, SNS, Kinesis, ECR, logs, monitoring, ECS, SSM messages, STS), prefix lists of gateway endpoints (S3, DynamoDB), addresses."
  type = object({
    security_group_ids = optional(map(string), {})
    prefix_list_ids    = optional(map(string), {})
    cidr_blocks        = optional(map(string), {})
  })
  default = {}

  validation {
    condition     = alltrue([for cidr in values(var.egress.cidr_blocks) : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "Name addresses, and not the whole internet."
  }
}

variable "task_size" {
  description = "CPU units and MiB of memory of a host's task; has to fit on `instance_type`."
  type = object({
    cpu    = number
    memory = number
  })
  default = { cpu = 1024, memory = 2048 }
}

variable "conductor_size" {
  description = "CPU units, MiB of memory and GiB of disk of the conductor, which judges as well."
  type = object({
    cpu      = number
    memory   = number
    disk_gib = number
  })
  default = { cpu = 2048, memory = 8192, disk_gib = 50 }
}

variable "instance_type" {
  description = "Of the instances that consumers run on."
  type        = string
  default     = "m6i.large"
}

variable "image_id" {
  description = "AMI of the instances, with the ECS agent."
  type        = string
  default     = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
}

variable "volume_size_gib" {
  description = "Disk of an instance; histories are written there."
  type        = number
  default     = 50
}

variable "history_bucket" {
  description = "Name of the bucket to which hosts ship their histories; made here."
  type        = string
}

variable "history_prefix" {
  description = "What the objects in it begin with."
  type        = string
  default     = "gameday"
}

variable "history_days" {
  description = "How long histories are kept there."
  type        = number
  default     = 90
}

variable "log_retention_days" {
  description = "How long logs of the tasks are kept."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "ARN of a key of KMS for disks, logs and the bucket; null: keys of AWS's own. It has to let CloudWatch Logs and Auto Scaling use it."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}
