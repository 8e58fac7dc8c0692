output "wif_audience" {
  description = "serverless.yml's parameter gcpWifAudience: the provider that the functions log in at."
  value       = "//iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${google_iam_workload_identity_pool.aws.workload_identity_pool_id}/providers/${google_iam_workload_identity_pool_provider.aws.workload_identity_pool_provider_id}"
}

output "deploy_command" {
  description = "What deploys the functions of this stage, from the root of the repository."
  value       = "npx serverless deploy --stage ${var.stage} --param=\"gcpWifAudience=//iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${google_iam_workload_identity_pool.aws.workload_identity_pool_id}/providers/${google_iam_workload_identity_pool_provider.aws.workload_identity_pool_provider_id}\""
}

output "service_accounts" {
  description = "Identity -> e-mail. tools/stack-settings.ts gives the functions these very names."
  value       = { for identity, account in google_service_account.this : identity => account.email }
}

output "aws_roles" {
  description = "AWS role -> the service account that it may become. No other role can."
  value       = { for role, identity in module.config.aws_roles : role => google_service_account.this[identity].email }
}

output "replica" {
  description = "What `lifeboat --replica` takes."
  value       = local.replica_url
}

output "image_repository" {
  description = "Where the image of the command goes (README.md)."
  value       = "${var.region}-docker.pkg.dev/${module.config.project}/${google_artifact_registry_repository.images.repository_id}/command"
}

output "releases_topic" {
  description = "Tells of every release that is written: what a warm standby subscribes to."
  value       = google_pubsub_topic.releases.id
}

output "bigtable_cluster" {
  description = "Instance and zone of the rows; null where no tables are replicated."
  value       = local.has_rows ? { instance = google_bigtable_instance.replica[0].name, zone = var.bigtable_zone } : null
}
