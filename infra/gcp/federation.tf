# How a function of AWS becomes an identity here without a key (shared/clouds/gcp/keyless.ts): Google's token service asks AWS
# who signed, and takes the answer's ARN, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION.

resource "google_iam_workload_identity_pool" "aws" {
  workload_identity_pool_id = var.pool_id
  display_name              = "Lifeboat"
  description               = "The functions of Lifeboat in AWS account ${module.config.source.account}, stage ${var.stage}"

  depends_on = [google_project_service.this]
}

resource "google_iam_workload_identity_pool_provider" "aws" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.aws.workload_identity_pool_id
  workload_identity_pool_provider_id = "aws"
  display_name                       = "AWS"

  # Names of roles are unique in an account, whatever their path. The subject is the role, too: it may have 127 bytes, which the
  # whole ARN of a session passes where stage and region have long names.
  attribute_mapping = {
    "google.subject"     = "assertion.arn.extract('assumed-role/{role}/')"
    "attribute.aws_role" = "assertion.arn.extract('assumed-role/{role}/')"
  }

  # Whoever is of another account, or has another role of this one, gets no token at all.
  attribute_condition = "assertion.account == '${module.config.source.account}' && attribute.aws_role in ${jsonencode(sort(keys(module.config.aws_roles)))}"

  aws {
    account_id = module.config.source.account
  }
}

# Each role may become its own identity only.
resource "google_service_account_iam_member" "aws" {
  for_each = module.config.aws_roles

  service_account_id = google_service_account.this[each.value].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${google_iam_workload_identity_pool.aws.workload_identity_pool_id}/attribute.aws_role/${each.key}"
}
