variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "What the roles' names begin with: `NAME-conductor`, `NAME-load`, `NAME-consumers`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,54}$", var.name))
    error_message = "At most 54 characters that IAM takes: `-conductor` has to fit behind it."
  }
}

variable "policies" {
  description = "By role, the policy document as JSON. `gameday policy SCENARIO --account … --region … > policies.json` prints all three: `{ for role, document in jsondecode(file(\"policies.json\")) : role => jsonencode(document) }`."
  type        = map(string)

  validation {
    condition     = length(setsubtract(keys(var.policies), ["conductor", "load", "consumers"])) == 0
    error_message = "The roles are conductor, load and consumers."
  }
  validation {
    condition = alltrue(flatten([
      for document in values(var.policies) : [
        for statement in jsondecode(document).Statement : statement.Effect == "Deny" || alltrue([
          for action in flatten([try(statement.Action, "*")]) :
          !endswith(action, "*") && (!startswith(action, "iam:") || action == "iam:PassRole")
        ])
      ]
    ]))
    error_message = "A document allows actions by a wildcard, or actions of IAM besides iam:PassRole; `gameday policy` prints no such."
  }
}

variable "trusted_services" {
  description = "AWS services whose tasks in this account may take the roles on."
  type        = list(string)
  default     = ["ecs-tasks.amazonaws.com"]
}

variable "trusted_principal_arns" {
  description = "ARNs of users and roles that may take the roles on, such as the one of who runs a game day from a laptop."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.trusted_principal_arns : can(regex("^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:[^*]+$", arn))])
    error_message = "ARNs of users and roles, without wildcards."
  }
}

variable "history" {
  description = "The bucket and the prefix in it to which hosts ship their histories (`history:` of hosts.yaml)."
  type = object({
    bucket_arn = string
    prefix     = optional(string, "gameday")
  })
  default = null
}

variable "extra_policies" {
  description = "What roles need besides, by a name: of the module fleet `exec_policy`, of observability `remote_write_policy`, what consumers of your own call."
  type = map(object({
    role   = string
    policy = string
  }))
  default = {}

  validation {
    condition     = alltrue([for extra in values(var.extra_policies) : contains(["conductor", "load", "consumers"], extra.role)])
    error_message = "The roles are conductor, load and consumers."
  }
}

variable "max_session_seconds" {
  description = "How long credentials of the roles are good for; longer than a run."
  type        = number
  default     = 14400
}

variable "permissions_boundary_arn" {
  description = "ARN of a policy that bounds what the roles may."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
