# The checks repeat those of "lifeboat config check" for what becomes a name here. A name must be text for Terraform, too, whose
# YAML takes off, yes and 2026-01-01 for something else: hence the quotes that jsonencode leaves around text.

output "source" {
  description = "The AWS account and region of the functions."
  value       = { account = tostring(local.source.account), region = local.source.region }

  precondition {
    condition     = can(regex("^\"[0-9]{12}\"$", jsonencode(local.source.account)))
    error_message = "source.account must be 12 digits in quotes: run \"npx lifeboat config check\"."
  }
  precondition {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", local.source.region))
    error_message = "source.region must be an AWS region: run \"npx lifeboat config check\"."
  }
  precondition {
    condition     = !can(regex("^(cn|us-gov)-", local.source.region))
    error_message = "Identity federation with AWS's China and GovCloud partitions is not supported."
  }
}

output "project" {
  description = "The Google Cloud project of the replica."
  value       = local.replica.project

  precondition {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", local.replica.project))
    error_message = "replica.project must be a project id: run \"npx lifeboat config check\"."
  }
}

output "bucket" {
  description = "The bucket of the replica, and the prefix of everything in it."
  value       = { name = local.replica.bucket, prefix = local.prefix }

  precondition {
    condition     = can(regex("^\"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]\"$", jsonencode(local.replica.bucket)))
    error_message = "replica.bucket must be a bucket name: run \"npx lifeboat config check\", and put a name such as off in quotes."
  }
  precondition {
    condition     = can(regex("^([^/].*/)?$", local.prefix))
    error_message = "replica.prefix must be empty or end with /: run \"npx lifeboat config check\"."
  }
}

output "bigtable" {
  description = "The Bigtable instance, its app profile (null: none is named) and tables; null where no tables are replicated."
  value = length(local.tables) == 0 ? null : {
    instance    = local.instance
    app_profile = local.app_profile
    tables      = [for table in local.tables : try(table.target, table.name)]
  }

  precondition {
    # Google's own limits: https://cloud.google.com/bigtable/docs/reference/admin/rpc#createinstancerequest
    condition     = length(local.tables) == 0 || can(regex("^[a-z][a-z0-9-]{4,31}[a-z0-9]$", local.instance))
    error_message = "replica.bigtableInstance must be 6 to 33 of a-z, 0-9 and dash, since there are tables."
  }
  precondition {
    # The history's name is 8 characters longer; Google allows 50 for either (bigtable.tables.create).
    condition     = alltrue([for table in local.tables : can(regex("^\"[A-Za-z0-9_][A-Za-z0-9_.-]{0,41}\"$", jsonencode(try(table.target, table.name))))])
    error_message = "A Bigtable table's name has at most 42 characters, since that of its history is 8 longer: give the table a target. A name such as off or 2026-01-01 goes in quotes."
  }
}

output "identities" {
  description = "Service account -> its title."
  value       = { for identity, role in local.roles : identity => role.title }
}

output "custom_roles" {
  description = "Identity and service -> the custom role of that identity for that service."
  value       = local.custom_roles
}

output "aws_roles" {
  description = "AWS role -> the service account that it becomes."
  value       = local.aws_roles
}
