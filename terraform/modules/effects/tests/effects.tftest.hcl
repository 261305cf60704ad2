mock_provider "aws" {}

variables {
  name = "orders-effects"
}

run "is_encrypted_restorable_and_protected" {
  command = plan
  assert {
    condition     = aws_dynamodb_table.this[0].server_side_encryption[0].enabled
    error_message = "The table is not encrypted with a key of the account."
  }
  assert {
    condition     = aws_dynamodb_table.this[0].point_in_time_recovery[0].enabled
    error_message = "The table cannot be restored."
  }
  assert {
    condition     = aws_dynamodb_table.this[0].deletion_protection_enabled
    error_message = "The table can be deleted at once."
  }
  assert {
    condition     = aws_dynamodb_table.this[0].billing_mode == "PAY_PER_REQUEST"
    error_message = "The table throttles at a capacity that nobody chose."
  }
  assert {
    condition     = length(aws_dynamodb_table.this[0].ttl) == 0
    error_message = "Effects expire."
  }
  assert {
    condition     = output.effects == { dynamodb = { table = "orders-effects", key = "id" } }
    error_message = "A scenario would read something else back."
  }
}

run "takes_a_key_of_kms" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }
  assert {
    condition     = aws_dynamodb_table.this[0].server_side_encryption[0].kms_key_arn == var.kms_key_arn
    error_message = "The table is encrypted with another key."
  }
}

run "makes_nothing" {
  command = plan
  variables {
    create = false
  }
  assert {
    condition     = length(aws_dynamodb_table.this) == 0 && output.effects == null
    error_message = "Something is made."
  }
}
