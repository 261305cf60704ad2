# Private subnets without a way to the internet: AWS is reached by endpoints.

locals {
  zones      = var.create_fleet ? slice(data.aws_availability_zones.available[0].names, 0, 2) : []
  interfaces = ["ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "events", "kinesis-streams", "kms", "logs", "monitoring", "sns", "sqs", "ssmmessages", "sts"]
}

data "aws_availability_zones" "available" {
  count = var.create_fleet ? 1 : 0

  state = "available"
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:an example; flow logs belong to the account's own VPCs
  #checkov:skip=CKV2_AWS_12:nothing is put in the default security group
  count = var.create_fleet ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_subnet" "private" {
  count = length(local.zones)

  vpc_id            = aws_vpc.this[0].id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.vpc_cidr, 8, count.index)

  tags = merge(var.tags, { Name = "${var.name}-${local.zones[count.index]}" })
}

resource "aws_route_table" "private" {
  count = var.create_fleet ? 1 : 0

  vpc_id = aws_vpc.this[0].id

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_route_table_association" "private" {
  count = length(local.zones)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_security_group" "endpoints" {
  count = var.create_fleet ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Endpoints of AWS for ${var.name}"
  vpc_id      = aws_vpc.this[0].id

  tags = merge(var.tags, { Name = "${var.name}-endpoints" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = var.create_fleet ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "The fleet"
  referenced_security_group_id = module.fleet.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.create_fleet ? toset(local.interfaces) : toset([])

  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = var.create_fleet ? toset(["s3", "dynamodb"]) : toset([])

  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private[0].id]

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })
}
