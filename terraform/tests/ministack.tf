# Laid over examples/complete where that is applied on MiniStack (scripts/terraform_checks.py).

provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

# MiniStack keeps neither tags nor shard metrics of a stream, so that each plan would set them anew.
module "stream" {
  shard_level_metrics = []
  tags                = {}
}
