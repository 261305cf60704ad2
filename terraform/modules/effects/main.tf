# A table of DynamoDB for the effects of consumers, one item for each message: encrypted, restorable, paid by use. A
# scenario reads it back with `effects: {dynamodb: {table: NAME, key: KEY}}`.

resource "aws_dynamodb_table" "this" {
  count = var.create ? 1 : 0

  name         = var.name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = var.hash_key

  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = var.hash_key
    type = "S"
  }

  # Off, it is encrypted as well, with a key that the account does not see.
  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  dynamic "ttl" {
    for_each = var.ttl_attribute == null ? [] : [var.ttl_attribute]
    content {
      attribute_name = ttl.value
      enabled        = true
    }
  }

  tags = var.tags
}
