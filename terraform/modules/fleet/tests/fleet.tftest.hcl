mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/made" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/gameday/staging" }
  }
  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:1:autoScalingGroupName/staging-instances" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::histories", id = "histories" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-west-1:123456789012:service/srv-1" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/made:1" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { id = "arn:aws:ecs:eu-west-1:123456789012:cluster/staging" }
  }
}

variables {
  name           = "staging"
  vpc_id         = "vpc-1"
  subnet_ids     = ["subnet-1"]
  image          = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/gameday@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  history_bucket = "histories"
  task_role_arns = {
    conductor = "arn:aws:iam::123456789012:role/staging-conductor"
    load      = "arn:aws:iam::123456789012:role/staging-load"
    consumers = "arn:aws:iam::123456789012:role/staging-consumers"
  }
  egress = {
    security_group_ids = { endpoints = "sg-2" }
    prefix_list_ids    = { s3 = "pl-1" }
  }
}

run "has_consumers_on_instances_and_load_on_fargate" {
  assert {
    condition = { for name, task in aws_ecs_task_definition.host : name => tolist(task.requires_compatibilities)[0] } == {
      consumers-1 = "EC2", consumers-2 = "EC2", load-1 = "FARGATE",
    }
    error_message = "A host runs elsewhere."
  }
  assert {
    condition = (
      aws_ecs_task_definition.host["load-1"].task_role_arn == var.task_role_arns.load
      && aws_ecs_task_definition.host["consumers-1"].task_role_arn == var.task_role_arns.consumers
      && aws_ecs_task_definition.conductor[0].task_role_arn == var.task_role_arns.conductor
    )
    error_message = "A task has the role of another part."
  }
  assert {
    condition     = aws_autoscaling_group.instances[0].min_size == 2 && aws_autoscaling_group.instances[0].max_size == 2
    error_message = "Hosts share an instance, or wait for one."
  }
  assert {
    condition     = aws_ecs_service.host["consumers-1"].deployment_maximum_percent == 100
    error_message = "A second host of the same name would join the run."
  }
}

run "is_found_by_its_name" {
  assert {
    condition = slice(jsondecode(aws_ecs_task_definition.host["load-1"].container_definitions)[0].command, 0, 6) == [
      "gameday", "host", "--master", "conductor.gameday.internal:5557", "--name", "load-1",
    ]
    error_message = "A host looks for its conductor elsewhere."
  }
  assert {
    condition     = aws_ecs_service.conductor[0].service_registries[0].registry_arn == aws_service_discovery_service.conductor[0].arn
    error_message = "The conductor has no name."
  }
  assert {
    condition = yamldecode(output.hosts) == {
      listen  = "0.0.0.0:5557"
      history = "s3://histories/gameday"
      hosts = [
        { name = "consumers-1", does = ["consumers"] },
        { name = "consumers-2", does = ["consumers"] },
        { name = "load-1", does = ["load"] },
      ]
    }
    error_message = "hosts.yaml would say something else."
  }
}

run "lets_nobody_in_but_itself" {
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.master[0].referenced_security_group_id == aws_security_group.this[0].id
      && aws_vpc_security_group_ingress_rule.master[0].cidr_ipv4 == null
      && aws_vpc_security_group_ingress_rule.master[0].to_port == 5557
    )
    error_message = "Others reach the conductor."
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.addresses) == 0
    error_message = "The fleet reaches addresses that nobody named."
  }
  assert {
    condition = alltrue([
      for service in concat(values(aws_ecs_service.host), aws_ecs_service.conductor) : !service.network_configuration[0].assign_public_ip
    ])
    error_message = "A task has a public address."
  }
}

run "refuses_the_whole_internet" {
  command = plan
  variables {
    egress = { cidr_blocks = { all = "0.0.0.0/0" } }
  }
  expect_failures = [var.egress]
}

run "keeps_what_is_written_encrypted_and_to_itself" {
  assert {
    condition     = aws_launch_template.instances[0].block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "A disk is not encrypted."
  }
  assert {
    condition     = aws_launch_template.instances[0].metadata_options[0].http_tokens == "required"
    error_message = "The metadata service answers anybody on the instance."
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_server_side_encryption_configuration.history[0].rule :
      rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    ])
    error_message = "Histories are not encrypted."
  }
  assert {
    condition = (
      aws_s3_bucket_public_access_block.history[0].block_public_acls && aws_s3_bucket_public_access_block.history[0].block_public_policy
      && aws_s3_bucket_public_access_block.history[0].ignore_public_acls && aws_s3_bucket_public_access_block.history[0].restrict_public_buckets
    )
    error_message = "Histories may become public."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.history[0].policy).Statement : statement.Effect == "Deny"
    ])
    error_message = "The bucket's policy allows somebody."
  }
  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.host : jsondecode(task.container_definitions)[0].readonlyRootFilesystem
    ])
    error_message = "A host writes to its image."
  }
}

run "lets_ecs_fetch_one_image_and_write_one_log" {
  variables {
    image_repository_arn = "arn:aws:ecr:eu-west-1:123456789012:repository/gameday"
  }
  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.execution[0].policy).Statement : statement.Action if contains(statement.Resource, "*")
    ] == [["ecr:GetAuthorizationToken"]]
    error_message = "ECS may more than it needs."
  }
}

run "does_without_instances" {
  variables {
    consumer_hosts = []
  }
  assert {
    condition     = length(aws_autoscaling_group.instances) == 0 && aws_ecs_cluster_capacity_providers.this[0].capacity_providers == toset(["FARGATE"])
    error_message = "There are instances that nobody uses."
  }
}

run "makes_nothing" {
  command = plan
  variables {
    create = false
  }
  assert {
    condition = (
      length(aws_ecs_cluster.this) + length(aws_ecs_service.host) + length(aws_s3_bucket.history) + length(aws_security_group.this)
      + length(aws_autoscaling_group.instances) + length(aws_iam_role.execution) == 0
    )
    error_message = "Something is made."
  }
}
