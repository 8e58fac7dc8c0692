# One service account for each identity of roles.json, and one custom role for each service that it may use. Whoever may use
# an identity is named on the identity; what it may do is granted on the bucket and the Bigtable instance, never on the project.

resource "google_service_account" "this" {
  for_each = module.config.identities

  account_id   = each.key
  display_name = each.value

  depends_on = [google_project_service.this]
}

resource "google_project_iam_custom_role" "this" {
  for_each = module.config.custom_roles

  role_id     = each.value.role_id
  title       = each.value.title
  description = "What ${each.value.identity} may do, from infra/gcp/roles.json"
  permissions = each.value.permissions

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "this" {
  for_each = { for name, role in module.config.custom_roles : role.identity => name if role.service == "storage" }

  bucket = google_storage_bucket.replica.name
  role   = google_project_iam_custom_role.this[each.value].name
  member = google_service_account.this[each.key].member
}

resource "google_bigtable_instance_iam_member" "this" {
  for_each = { for name, role in module.config.custom_roles : role.identity => name if role.service == "bigtable" && local.has_rows }

  instance = google_bigtable_instance.replica[0].name
  role     = google_project_iam_custom_role.this[each.value].name
  member   = google_service_account.this[each.key].member
}

# Who may act as the two identities that people use.
resource "google_service_account_iam_member" "restorer" {
  for_each = var.restorer_members

  service_account_id = google_service_account.this["lifeboat-restorer"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.key
}

resource "google_service_account_iam_member" "collector" {
  for_each = var.collector_members

  service_account_id = google_service_account.this["lifeboat-collector"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.key
}
