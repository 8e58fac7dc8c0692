# lifeboat.yml says what is replicated, and to where: nothing of it is written again here.
module "config" {
  source = "./config"

  config = var.config
  stage  = var.stage
}

data "google_project" "this" {
  project_id = module.config.project
}

locals {
  has_rows = module.config.bigtable != null

  apis = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudscheduler.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "storage.googleapis.com",
      "sts.googleapis.com",
    ],
    local.has_rows ? ["bigtable.googleapis.com", "bigtableadmin.googleapis.com"] : [],
    var.kms_key_name == null ? [] : ["cloudkms.googleapis.com"],
  ))
}

resource "google_project_service" "this" {
  for_each = local.apis

  service            = each.key
  disable_on_destroy = false
}
