# What LocalStack plays of the module observability: alarms and a dashboard.

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

module "observability" {
  source = "../../modules/observability"

  name              = "staging"
  create_prometheus = false
  queues            = { orders = { queue_name = "orders", dead_letter_queue_name = "orders-dlq" } }
  streams           = { clicks = { stream_name = "clicks" } }
}
