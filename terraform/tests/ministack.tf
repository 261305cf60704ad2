# Laid over examples/complete where that is applied on MiniStack (scripts/terraform_checks.py).

provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

# MiniStack keeps neither tags nor shard metrics of a stream, so that each plan would set them anew.
module "stream" {
  #checkov:skip=CKV_TF_1:where it comes from, the example says
  #checkov:skip=CKV_TF_2:the same
  shard_level_metrics = []
  tags                = {}
}
