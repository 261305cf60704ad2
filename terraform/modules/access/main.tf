# The three roles of a run: conductor, load and consumers, each with what `gameday policy SCENARIO` says that it needs.

locals {
  roles = var.create ? toset(["conductor", "load", "consumers"]) : toset([])

  # Hosts ship their histories there, and the conductor fetches them before it judges.
  objects = var.history == null ? "" : "${var.history.bucket_arn}/${trimsuffix(var.history.prefix, "/")}/*"
  history = {
    conductor = ["s3:GetObject"]
    load      = ["s3:PutObject", "s3:AbortMultipartUpload"]
    consumers = ["s3:PutObject", "s3:AbortMultipartUpload"]
  }
}

data "aws_caller_identity" "current" {
  count = var.create ? 1 : 0
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.name}-${each.key}"
  description          = "What runs of gameday may, as ${each.key}"
  max_session_duration = var.max_session_seconds
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for service in var.trusted_services : {
        Effect    = "Allow"
        Principal = { Service = service }
        Action    = "sts:AssumeRole"
        # Only tasks of this account, whoever asks the service for it.
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current[0].account_id } }
      }],
      [for arn in var.trusted_principal_arns : {
        Effect    = "Allow"
        Principal = { AWS = arn }
        Action    = "sts:AssumeRole"
      }],
    )
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "gameday" {
  # Who has no AWS call of its own has no statement, and IAM takes no document without one.
  for_each = { for role, document in var.policies : role => document if var.create && length(jsondecode(document).Statement) > 0 }

  name   = "gameday-policy"
  role   = aws_iam_role.this[each.key].id
  policy = each.value
}

resource "aws_iam_role_policy" "history" {
  for_each = var.history == null ? toset([]) : local.roles

  name = "gameday-history"
  role = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = local.history[each.key], Resource = [local.objects] }]
  })
}

resource "aws_iam_role_policy" "extra" {
  for_each = { for name, extra in var.extra_policies : name => extra if var.create }

  name   = each.key
  role   = aws_iam_role.this[each.value.role].id
  policy = each.value.policy
}
