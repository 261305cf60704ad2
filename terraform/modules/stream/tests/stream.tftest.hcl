mock_provider "aws" {
  mock_resource "aws_kinesis_stream" {
    defaults = { arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks" }
  }
}

variables {
  name = "clicks"
}

run "is_encrypted" {
  assert {
    condition     = aws_kinesis_stream.this[0].encryption_type == "KMS" && aws_kinesis_stream.this[0].kms_key_id == "alias/aws/kinesis"
    error_message = "The stream is not encrypted."
  }
  assert {
    condition     = aws_kinesis_stream.this[0].shard_count == 2 && aws_kinesis_stream.this[0].stream_mode_details[0].stream_mode == "PROVISIONED"
    error_message = "It has other shards."
  }
  assert {
    condition     = contains(aws_kinesis_stream.this[0].shard_level_metrics, "IteratorAgeMilliseconds")
    error_message = "Nobody would see the shard that is behind."
  }
  assert {
    condition     = output.attach == { stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks" }
    error_message = "gameday would attach to something else."
  }
}

run "has_no_shards_of_its_own_on_demand" {
  command = plan
  variables {
    on_demand = true
  }
  assert {
    condition     = aws_kinesis_stream.this[0].stream_mode_details[0].stream_mode == "ON_DEMAND"
    error_message = "It is provisioned."
  }
}

run "refuses_to_be_in_the_clear" {
  command = plan
  variables {
    kms_key_id = ""
  }
  expect_failures = [var.kms_key_id]
}

run "refuses_a_retention_that_kinesis_refuses" {
  command = plan
  variables {
    retention_hours = 12
  }
  expect_failures = [var.retention_hours]
}

run "makes_nothing" {
  command = plan
  variables {
    create = false
  }
  assert {
    condition     = length(aws_kinesis_stream.this) == 0 && output.attach == null
    error_message = "Something is made."
  }
}
