# Everything: what a scenario attaches to, the roles of a run, a fleet in a VPC that reaches AWS by endpoints alone, what
# it is watched with, and an experiment of FIS. Each part can be left out.

provider "aws" {
  region = var.region
}

# What a scenario attaches to

module "orders" {
  source = "../../modules/queue"

  name                       = "${var.name}-orders"
  visibility_timeout_seconds = var.visibility_timeout_seconds

  tags = var.tags
}

module "topic" {
  source = "../../modules/topic"

  name = "${var.name}-topic"
  subscriptions = {
    orders = { queue_arn = module.billing.arn, dead_letter_queue_arn = module.billing.dead_letter_queue_arn }
  }

  tags = var.tags
}

module "billing" {
  source = "../../modules/queue"

  name                       = "${var.name}-billing"
  visibility_timeout_seconds = var.visibility_timeout_seconds
  senders                    = { topic = { service = "sns.amazonaws.com", source_arn = module.topic.arn } }

  tags = var.tags
}

module "bus" {
  source = "../../modules/bus"

  name = "${var.name}-bus"
  rules = {
    orders = {
      event_pattern         = jsonencode({ source = [{ prefix = "" }] })
      queue_arn             = module.audit.arn
      dead_letter_queue_arn = module.audit.dead_letter_queue_arn
    }
  }

  tags = var.tags
}

module "audit" {
  source = "../../modules/queue"

  name                       = "${var.name}-audit"
  visibility_timeout_seconds = var.visibility_timeout_seconds
  senders                    = { rule = { service = "events.amazonaws.com", source_arn = module.bus.rule_arns["orders"] } }

  tags = var.tags
}

module "stream" {
  source = "../../modules/stream"

  name = "${var.name}-stream"

  tags = var.tags
}

module "effects" {
  source = "../../modules/effects"

  name                = "${var.name}-effects"
  deletion_protection = var.deletion_protection

  tags = var.tags
}

# Who may what

module "access" {
  source = "../../modules/access"

  name                   = var.name
  policies               = var.policies_file == null ? {} : { for role, document in jsondecode(file(var.policies_file)) : role => jsonencode(document) }
  trusted_principal_arns = var.trusted_principal_arns
  history                = module.fleet.history
  extra_policies = merge(
    var.create_fleet ? { come-in = { role = "conductor", policy = module.fleet.exec_policy } } : {},
    var.create_prometheus ? { remote-write = { role = "conductor", policy = module.observability.remote_write_policy } } : {},
  )

  tags = var.tags
}

# Where it runs

module "fleet" {
  source = "../../modules/fleet"

  create = var.create_fleet
  name   = var.name

  vpc_id               = try(aws_vpc.this[0].id, "")
  subnet_ids           = aws_subnet.private[*].id
  image                = var.image
  image_repository_arn = var.image_repository_arn
  task_role_arns       = module.access.role_arns
  history_bucket       = coalesce(var.history_bucket, "${var.name}-history")
  running              = var.running
  egress = {
    security_group_ids = var.create_fleet ? { endpoints = aws_security_group.endpoints[0].id } : {}
    prefix_list_ids    = { for name, endpoint in aws_vpc_endpoint.gateway : name => endpoint.prefix_list_id }
  }

  tags = var.tags
}

# What it is watched with

module "observability" {
  source = "../../modules/observability"

  name              = var.name
  create_prometheus = var.create_prometheus
  create_grafana    = var.create_grafana
  prometheus_rules  = var.prometheus_rules_file == null ? null : file(var.prometheus_rules_file)
  queues = {
    for name, queue in { orders = module.orders, billing = module.billing, audit = module.audit } :
    name => { queue_name = queue.name, dead_letter_queue_name = queue.dead_letter_queue_name }
  }
  streams = { clicks = { stream_name = module.stream.name } }

  tags = var.tags
}

# What strikes AWS itself

module "fis" {
  source = "../../modules/fis"

  create      = var.create_fis
  name        = var.name
  stop_on_age = { queue_name = module.orders.name, seconds = 600 }
  templates = {
    throttle = {
      description   = "Half of what producers put is refused"
      action_id     = "aws:kinesis:stream-provisioned-throughput-exception"
      parameters    = { duration = "PT2M", percentage = "50" }
      target_key    = "KinesisStreams"
      resource_type = "aws:kinesis:stream"
      target_arns   = [module.stream.arn]
    }
  }

  tags = var.tags
}
