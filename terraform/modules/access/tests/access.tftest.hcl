mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

variables {
  name = "staging"
  # As `gameday policy` prints them.
  policies = {
    conductor = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"sqs:CreateQueue\"],\"Resource\":[\"arn:aws:sqs:eu-west-1:123456789012:gameday-quick-*\"]}]}"
    load      = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"sqs:SendMessage\"],\"Resource\":[\"arn:aws:sqs:eu-west-1:123456789012:gameday-quick-*\"]}]}"
    consumers = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  }
}

run "has_three_roles_with_what_each_needs" {
  command = plan
  assert {
    condition     = toset(keys(aws_iam_role.this)) == toset(["conductor", "load", "consumers"])
    error_message = "A role is missing."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.gameday["load"].policy).Statement[0].Action == ["sqs:SendMessage"]
    error_message = "The load may something else."
  }
  assert {
    condition     = !contains(keys(aws_iam_role_policy.gameday), "consumers")
    error_message = "IAM refuses a document without a statement."
  }
  assert {
    condition     = length(aws_iam_role_policy.history) == 0
    error_message = "Somebody may write to a bucket that nobody named."
  }
}

run "is_trusted_by_tasks_of_the_account_alone" {
  command = plan
  assert {
    condition = alltrue([
      for role in values(aws_iam_role.this) : jsondecode(role.assume_role_policy).Statement == [{
        Effect    = "Allow"
        Principal = { Service = "ecs-tasks.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
      }]
    ])
    error_message = "Others may take a role on."
  }
}

run "lets_hosts_write_and_the_conductor_read_histories" {
  command = plan
  variables {
    history = { bucket_arn = "arn:aws:s3:::histories", prefix = "gameday/" }
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.history["consumers"].policy).Statement == [{
      Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = ["arn:aws:s3:::histories/gameday/*"]
    }]
    error_message = "Consumers may more than write below the prefix."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.history["conductor"].policy).Statement[0].Action == ["s3:GetObject"]
    error_message = "The conductor may more than read."
  }
}

run "refuses_everybody" {
  command = plan
  variables {
    trusted_principal_arns = ["*"]
  }
  expect_failures = [var.trusted_principal_arns]
}

run "refuses_a_document_that_allows_everything" {
  command = plan
  variables {
    policies = { load = "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sqs:*\",\"Resource\":\"*\"}]}" }
  }
  expect_failures = [var.policies]
}

run "refuses_rights_on_iam" {
  command = plan
  variables {
    policies = { conductor = "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"iam:CreateRole\"],\"Resource\":\"*\"}]}" }
  }
  expect_failures = [var.policies]
}

run "makes_nothing" {
  command = plan
  variables {
    create         = false
    history        = { bucket_arn = "arn:aws:s3:::histories" }
    extra_policies = { more = { role = "load", policy = "{}" } }
  }
  assert {
    condition     = length(aws_iam_role.this) + length(aws_iam_role_policy.gameday) + length(aws_iam_role_policy.history) + length(aws_iam_role_policy.extra) == 0
    error_message = "Something is made."
  }
}
