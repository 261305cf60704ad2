# The hosts of a run (docs/hosts.md) on ECS: load on Fargate; consumers on EC2 instances, one task on each, where a killed
# process leaves its files on a disk that can be read afterwards; and a conductor, which they find by its name in Cloud
# Map. A host is a service of one task, `gameday host`: it ends with a run, and ECS starts it anew for the next.
#
# Nobody reaches the conductor's port but the fleet, and the fleet reaches itself, and what is named by `egress`.

locals {
  port = 5557

  # A host has the role of what it does, and a name that hosts.yaml knows it by.
  hosts = var.create ? merge(
    { for name in var.consumer_hosts : name => "consumers" },
    { for name in var.load_hosts : name => "load" },
  ) : {}
  consumers = var.create && length(var.consumer_hosts) > 0

  conductor = var.create ? "conductor.${var.namespace}" : ""
  region    = try(data.aws_region.current[0].region, "")
  partition = try(data.aws_partition.current[0].partition, "aws")
  account   = try(data.aws_caller_identity.current[0].account_id, "")

  container = {
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    linuxParameters        = { initProcessEnabled = true }
    environment = [
      { name = "AWS_REGION", value = local.region },
      { name = "HOME", value = "/tmp" },
    ]
    mountPoints = [
      { sourceVolume = "runs", containerPath = "/var/lib/gameday", readOnly = false },
      { sourceVolume = "scratch", containerPath = "/tmp", readOnly = false },
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = "/gameday/${var.name}"
        awslogs-region        = local.region
        awslogs-stream-prefix = "gameday"
      }
    }
  }
}

data "aws_region" "current" {
  count = var.create ? 1 : 0
}

data "aws_partition" "current" {
  count = var.create ? 1 : 0
}

data "aws_caller_identity" "current" {
  count = var.create ? 1 : 0
}

resource "aws_cloudwatch_log_group" "this" {
  count = var.create ? 1 : 0

  name              = "/gameday/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn

  tags = var.tags
}

# How they find each other

resource "aws_service_discovery_private_dns_namespace" "this" {
  count = var.create ? 1 : 0

  name        = var.namespace
  description = "Where hosts of ${var.name} find their conductor"
  vpc         = var.vpc_id

  tags = var.tags
}

resource "aws_service_discovery_service" "conductor" {
  count = var.create ? 1 : 0

  name         = "conductor"
  namespace_id = aws_service_discovery_private_dns_namespace.this[0].id

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this[0].id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 5
    }
  }

  tags = var.tags
}

resource "aws_security_group" "this" {
  count = var.create ? 1 : 0

  name        = var.name
  description = "Hosts of gameday: ${var.name}"
  vpc_id      = var.vpc_id

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_vpc_security_group_ingress_rule" "master" {
  count = var.create ? 1 : 0

  security_group_id            = aws_security_group.this[0].id
  description                  = "The conductor, from the fleet alone"
  referenced_security_group_id = aws_security_group.this[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "master" {
  count = var.create ? 1 : 0

  security_group_id            = aws_security_group.this[0].id
  description                  = "The conductor"
  referenced_security_group_id = aws_security_group.this[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  for_each = { for name, group in var.egress.security_group_ids : name => group if var.create }

  security_group_id            = aws_security_group.this[0].id
  description                  = "Endpoints of AWS: ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "prefixes" {
  for_each = { for name, list in var.egress.prefix_list_ids : name => list if var.create }

  security_group_id = aws_security_group.this[0].id
  description       = "Gateway endpoints of AWS: ${each.key}"
  prefix_list_id    = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "addresses" {
  for_each = { for name, cidr in var.egress.cidr_blocks : name => cidr if var.create }

  security_group_id = aws_security_group.this[0].id
  description       = "AWS: ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443

  tags = var.tags
}

# Where they run

resource "aws_ecs_cluster" "this" {
  count = var.create ? 1 : 0

  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  tags = var.tags
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  count = var.create ? 1 : 0

  cluster_name       = aws_ecs_cluster.this[0].name
  capacity_providers = concat(["FARGATE"], aws_ecs_capacity_provider.instances[*].name)
}

resource "aws_ecs_capacity_provider" "instances" {
  count = local.consumers ? 1 : 0

  name = "${var.name}-instances"

  auto_scaling_group_provider {
    auto_scaling_group_arn = aws_autoscaling_group.instances[0].arn

    managed_scaling {
      status = "DISABLED"
    }
  }

  tags = var.tags
}

resource "aws_autoscaling_group" "instances" {
  count = local.consumers ? 1 : 0

  name                = "${var.name}-instances"
  vpc_zone_identifier = var.subnet_ids
  # One for each host, and none that comes and goes: a host that is terminated is told by the run, and replaced.
  min_size         = length(var.consumer_hosts)
  max_size         = length(var.consumer_hosts)
  desired_capacity = length(var.consumer_hosts)

  launch_template {
    id      = aws_launch_template.instances[0].id
    version = aws_launch_template.instances[0].latest_version
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = "${var.name}-consumers", AmazonECSManaged = "" })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
}

resource "aws_launch_template" "instances" {
  count = local.consumers ? 1 : 0

  name          = "${var.name}-instances"
  image_id      = var.image_id
  instance_type = var.instance_type

  user_data = base64encode(<<-EOT
    #!/bin/bash
    install -d -m 1777 /var/lib/gameday
    cat >> /etc/ecs/ecs.config <<'CONFIG'
    ECS_CLUSTER=${var.name}
    ECS_AWSVPC_BLOCK_IMDS=true
    CONFIG
  EOT
  )

  iam_instance_profile {
    arn = aws_iam_instance_profile.instances[0].arn
  }

  network_interfaces {
    associate_public_ip_address = false
    delete_on_termination       = true
    security_groups             = [aws_security_group.this[0].id]
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      volume_type           = "gp3"
      volume_size           = var.volume_size_gib
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  tags = var.tags
}

resource "aws_iam_role" "instances" {
  count = local.consumers ? 1 : 0

  name        = "${var.name}-instances"
  description = "What the ECS agent may on instances of ${var.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "instances" {
  count = local.consumers ? 1 : 0

  role       = aws_iam_role.instances[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "instances" {
  count = local.consumers ? 1 : 0

  name = "${var.name}-instances"
  role = aws_iam_role.instances[0].name

  tags = var.tags
}

# What ECS itself does for a task: it fetches the image and writes the log.
resource "aws_iam_role" "execution" {
  count = var.create ? 1 : 0

  name        = "${var.name}-execution"
  description = "What ECS may to start tasks of ${var.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "execution" {
  count = var.create ? 1 : 0

  name = "start"
  role = aws_iam_role.execution[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.this[0].arn}:*"]
      }],
      var.image_repository_arn == null ? [] : [
        {
          Effect   = "Allow"
          Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
          Resource = [var.image_repository_arn]
        },
        {
          # A token is of the account's whole registry.
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
      ],
    )
  })
}

# What runs

resource "aws_ecs_task_definition" "host" {
  for_each = local.hosts

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = [each.value == "load" ? "FARGATE" : "EC2"]
  network_mode             = "awsvpc"
  cpu                      = var.task_size.cpu
  memory                   = var.task_size.memory
  execution_role_arn       = aws_iam_role.execution[0].arn
  task_role_arn            = var.task_role_arns[each.value]

  container_definitions = jsonencode([merge(local.container, {
    name = "host"
    command = [
      "gameday", "host", "--master", "${local.conductor}:${local.port}", "--name", each.key,
      "--run-dir", "/var/lib/gameday", "--wait", var.wait,
    ]
  })])

  volume {
    name      = "runs"
    host_path = each.value == "load" ? null : "/var/lib/gameday"
  }

  volume {
    name = "scratch"
  }

  tags = var.tags
}

resource "aws_ecs_service" "host" {
  for_each = local.hosts

  name            = each.key
  cluster         = aws_ecs_cluster.this[0].id
  task_definition = aws_ecs_task_definition.host[each.key].arn
  desired_count   = var.running ? 1 : 0

  # Never two of one name: the second would join the same run.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  capacity_provider_strategy {
    capacity_provider = each.value == "load" ? "FARGATE" : aws_ecs_capacity_provider.instances[0].name
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this[0].id]
    assign_public_ip = false
  }

  # One on each instance, so that the loss of one is the loss of one host.
  dynamic "placement_constraints" {
    for_each = each.value == "load" ? [] : ["distinctInstance"]
    content {
      type = placement_constraints.value
    }
  }

  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"
  tags                    = var.tags

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

resource "aws_ecs_task_definition" "conductor" {
  count = var.create ? 1 : 0

  family                   = "${var.name}-conductor"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.conductor_size.cpu
  memory                   = var.conductor_size.memory
  execution_role_arn       = aws_iam_role.execution[0].arn
  task_role_arn            = var.task_role_arns["conductor"]

  ephemeral_storage {
    size_in_gib = var.conductor_size.disk_gib
  }

  # A game day is begun by a person, who comes in by `aws ecs execute-command` and types `gameday run`.
  container_definitions = jsonencode([merge(local.container, {
    name             = "conductor"
    command          = ["sleep", "infinity"]
    workingDirectory = "/var/lib/gameday"
    # The agent by which a person comes in writes to the root.
    readonlyRootFilesystem = false
  })])

  volume {
    name = "runs"
  }

  volume {
    name = "scratch"
  }

  tags = var.tags
}

resource "aws_ecs_service" "conductor" {
  count = var.create ? 1 : 0

  name                   = "conductor"
  cluster                = aws_ecs_cluster.this[0].id
  task_definition        = aws_ecs_task_definition.conductor[0].arn
  desired_count          = var.running ? 1 : 0
  enable_execute_command = true

  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this[0].id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.conductor[0].arn
  }

  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"
  tags                    = var.tags

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

# Where histories are shipped

resource "aws_s3_bucket" "history" {
  #checkov:skip=CKV2_AWS_62:nobody waits for an object; the conductor asks for those that it has listed
  #checkov:skip=CKV_AWS_18:who reads histories is CloudTrail's to tell; a log bucket is the account's to have
  #checkov:skip=CKV_AWS_144:histories are of a game day, and are judged within hours
  count = var.create ? 1 : 0

  bucket = var.history_bucket

  tags = var.tags
}

resource "aws_s3_bucket_public_access_block" "history" {
  count = var.create ? 1 : 0

  bucket                  = aws_s3_bucket.history[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "history" {
  count = var.create ? 1 : 0

  bucket = aws_s3_bucket.history[0].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "history" {
  count = var.create ? 1 : 0

  bucket = aws_s3_bucket.history[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "history" {
  count = var.create ? 1 : 0

  bucket = aws_s3_bucket.history[0].id

  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    expiration {
      days = var.history_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 7
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.history]
}

resource "aws_s3_bucket_policy" "history" {
  count = var.create ? 1 : 0

  bucket = aws_s3_bucket.history[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefuseWithoutTLS"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.history[0].arn, "${aws_s3_bucket.history[0].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.history]
}
