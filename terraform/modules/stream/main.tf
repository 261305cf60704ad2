# A stream of Kinesis: encrypted, with the shard metrics that tell a hot shard.

resource "aws_kinesis_stream" "this" {
  count = var.create ? 1 : 0

  name             = var.name
  shard_count      = var.on_demand ? null : var.shard_count
  retention_period = var.retention_hours
  encryption_type  = "KMS"
  kms_key_id       = var.kms_key_id

  # Of all shards together CloudWatch counts by itself.
  shard_level_metrics = var.shard_level_metrics

  # A stream that somebody still reads with enhanced fan-out is not taken from under them.
  enforce_consumer_deletion = false

  stream_mode_details {
    stream_mode = var.on_demand ? "ON_DEMAND" : "PROVISIONED"
  }

  tags = var.tags
}
