# What MiniStack plays of the module fleet: hosts on Fargate and the conductor, with what they need. At its Auto Scaling, for
# hosts on EC2, the AWS provider breaks down.

provider "aws" {
  region                      = "us-east-1"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:it stands on an emulator alone
  #checkov:skip=CKV2_AWS_12:the same
  cidr_block = "10.20.0.0/16"
}

resource "aws_subnet" "this" {
  vpc_id     = aws_vpc.this.id
  cidr_block = "10.20.0.0/24"
}

module "access" {
  source = "../../modules/access"

  name           = "staging"
  policies       = {}
  history        = module.fleet.history
  extra_policies = { come-in = { role = "conductor", policy = module.fleet.exec_policy } }
}

module "fleet" {
  source = "../../modules/fleet"

  name           = "staging"
  vpc_id         = aws_vpc.this.id
  subnet_ids     = [aws_subnet.this.id]
  image          = "gameday"
  task_role_arns = module.access.role_arns
  history_bucket = "staging-histories"
  consumer_hosts = []
}
