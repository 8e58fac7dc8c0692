# The rows. One cluster: with two, which of them a row was last written in decides what a conditional write sees.

locals {
  row_tables = local.has_rows ? toset(module.config.bigtable.tables) : toset([])
  families = merge([
    for table in local.row_tables : { for family in ["d", "m"] : "${table}/${family}" => { table = table, family = family } }
  ]...)
}

resource "google_bigtable_instance" "replica" {
  count = local.has_rows ? 1 : 0

  name                = module.config.bigtable.instance
  display_name        = "Lifeboat"
  deletion_protection = var.deletion_protection

  cluster {
    cluster_id   = "lifeboat-c1"
    zone         = var.bigtable_zone
    storage_type = "SSD"
    kms_key_name = var.kms_key_name

    autoscaling_config {
      min_nodes  = var.bigtable_nodes.min
      max_nodes  = var.bigtable_nodes.max
      cpu_target = 60
    }
  }

  lifecycle {
    precondition {
      condition     = var.bigtable_zone != null
      error_message = "There are tables in lifeboat.yml: set bigtable_zone."
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.this]
}

resource "google_bigtable_table" "rows" {
  for_each = local.row_tables

  name                = each.key
  instance_name       = google_bigtable_instance.replica[0].name
  deletion_protection = var.deletion_protection ? "PROTECTED" : "UNPROTECTED"

  column_family {
    family = "d"
  }

  column_family {
    family = "m"
  }
}

resource "google_bigtable_table" "history" {
  for_each = local.row_tables

  name                = "${each.key}-history"
  instance_name       = google_bigtable_instance.replica[0].name
  deletion_protection = var.deletion_protection ? "PROTECTED" : "UNPROTECTED"

  column_family {
    family = "h"
  }
}

# A row is what it is now; what it was is in the history.
resource "google_bigtable_gc_policy" "rows" {
  for_each = local.families

  instance_name = google_bigtable_instance.replica[0].name
  table         = google_bigtable_table.rows[each.value.table].name
  column_family = each.value.family

  max_version {
    number = 1
  }
}

# 35 days, as shared/features/as-of.ts says: an earlier time is refused there, so a shorter rule here would answer wrongly.
resource "google_bigtable_gc_policy" "history" {
  for_each = local.row_tables

  instance_name = google_bigtable_instance.replica[0].name
  table         = google_bigtable_table.history[each.key].name
  column_family = "h"

  max_age {
    duration = "840h"
  }
}

# Rows are written by conditional writes, which Bigtable allows under such a profile only.
resource "google_bigtable_app_profile" "replica" {
  count = local.has_rows && try(module.config.bigtable.app_profile, null) != null ? 1 : 0

  instance       = google_bigtable_instance.replica[0].name
  app_profile_id = module.config.bigtable.app_profile
  description    = "Lifeboat: one cluster, single-row transactions"

  single_cluster_routing {
    cluster_id                 = "lifeboat-c1"
    allow_transactional_writes = true
  }

  ignore_warnings = true
}

check "app_profile" {
  assert {
    condition     = !local.has_rows || try(module.config.bigtable.app_profile, null) != null
    error_message = "replica.appProfile is not set in lifeboat.yml: rows are written under the profile \"default\", which is not made here. Name one, such as \"lifeboat\", before the functions are deployed."
  }
}
