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
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b"] }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-1:123456789012:made", id = "https://sqs.eu-west-1.amazonaws.com/123456789012/made" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:made" }
  }
  mock_resource "aws_kinesis_stream" {
    defaults = { arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/made" }
  }
  mock_resource "aws_cloudwatch_event_bus" {
    defaults = { arn = "arn:aws:events:eu-west-1:123456789012:event-bus/made" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:123456789012:rule/made/to-orders" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/made" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/made" }
  }
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:made" }
  }
  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:1:autoScalingGroupName/made" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::made", id = "made" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-west-1:123456789012:service/srv-1" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/made:1" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { id = "arn:aws:ecs:eu-west-1:123456789012:cluster/made" }
  }
  mock_resource "aws_prometheus_workspace" {
    defaults = { arn = "arn:aws:aps:eu-west-1:123456789012:workspace/ws-1" }
  }
}

variables {
  region = "eu-west-1"
}

run "has_what_scenarios_attach_to_and_nothing_that_stands_idle" {
  assert {
    condition = (
      toset(keys(output.queue)) == toset(["queue", "dead_letter_queue"]) && toset(keys(output.topic.subscriptions)) == toset(["orders"])
      && output.bus.subscriptions["orders"].rule == "gameday-staging-bus-orders" && output.stream.stream != null
    )
    error_message = "A scenario would find nothing to attach to."
  }
  assert {
    condition     = output.hosts == null && length(aws_vpc.this) == 0 && output.grafana_url == null
    error_message = "Something stands there and costs, and nobody asked for it."
  }
}

run "has_everything_that_is_asked_for" {
  variables {
    create_fleet      = true
    create_prometheus = true
    create_grafana    = true
    create_fis        = true
  }
  assert {
    condition     = toset(keys(output.fis_template_ids)) == toset(["throttle"]) && output.cluster_name == "gameday-staging"
    error_message = "The fleet or the experiment is missing."
  }
  assert {
    condition     = length(aws_vpc_endpoint.interface) + length(aws_vpc_endpoint.gateway) == 16
    error_message = "The fleet does not reach AWS."
  }
  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.referenced_security_group_id != null && rule.cidr_ipv4 == null
    ])
    error_message = "Others than the fleet reach the endpoints."
  }
}
