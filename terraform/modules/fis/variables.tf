variable "create" {
  description = "Whether anything is made."
  type        = bool
  default     = true
}

variable "name" {
  description = "What names of role and alarm begin with: `NAME-fis`, `NAME-fis-stop`."
  type        = string
}

variable "templates" {
  description = "By a name of yours, an experiment of one action. `target_key` is the action's name for what it strikes (`KinesisStreams`, `Tasks`), `target_arns` what that is."
  type = map(object({
    description    = string
    action_id      = string
    parameters     = optional(map(string), {})
    target_key     = string
    resource_type  = string
    target_arns    = list(string)
    selection_mode = optional(string, "ALL")
  }))
  default = {}

  validation {
    condition = alltrue(flatten([
      for template in values(var.templates) : [for arn in template.target_arns : startswith(arn, "arn:") && !strcontains(arn, "*")]
    ]))
    error_message = "`target_arns` names what is struck, one by one and without wildcards."
  }
  validation {
    condition     = alltrue([for template in values(var.templates) : length(template.target_arns) > 0])
    error_message = "An experiment without `target_arns` strikes nothing."
  }
}

variable "role_policy" {
  description = "What the role needs besides, as a policy document in JSON: for actions that the module does not know."
  type        = string
  default     = null
}

variable "stop_on_age" {
  description = "Makes the alarm that stops the experiments: at which age of the oldest message of a queue."
  type = object({
    queue_name = string
    seconds    = number
  })
  default = null
}

variable "stop_alarm_arns" {
  description = "ARNs of alarms that stop the experiments, too."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
