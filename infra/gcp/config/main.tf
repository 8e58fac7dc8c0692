# What lifeboat.yml and roles.json say, without a provider: Terraform evaluates it offline, and a test compares the outcome
# with what the functions read from the same file (test/infra/config.test.ts).

locals {
  file = yamldecode(file(var.config))

  # As in shared/config.ts: maps are merged, lists are replaced. All the maps of the file that count here hold plain values.
  source  = merge(local.file.source, try(local.file.stages[var.stage].source, {}))
  replica = merge(local.file.replica, try(local.file.stages[var.stage].replica, {}))
  tables  = try(local.file.stages[var.stage].tables, local.file.tables, [])

  prefix      = try(local.replica.prefix, "")
  instance    = try(local.replica.bigtableInstance, null)
  app_profile = try(local.replica.appProfile, null)

  # The file that the embedded clouds enforce.
  roles = jsondecode(file("${path.module}/../roles.json"))

  # One custom role for each service, since one is granted on the bucket and the other on the Bigtable instance.
  services = toset(["storage", "bigtable"])
  custom_roles = merge([
    for identity, role in local.roles : {
      for service in local.services : "${identity}-${service}" => {
        identity    = identity
        service     = service
        role_id     = "${replace(identity, "-", "_")}_${service}"
        title       = "${role.title} (${service})"
        permissions = [for permission in role.permissions : permission if startswith(permission, "${service}.")]
      } if anytrue([for permission in role.permissions : startswith(permission, "${service}.")])
    }
  ]...)

  # The roles of the functions, as identities in tools/stack-settings.ts names them, and which identity each becomes.
  aws_roles = merge([
    for identity, role in local.roles : {
      for function in try(role.functions, []) : "lifeboat-${var.stage}-${local.source.region}-${function}" => identity
    }
  ]...)
}
