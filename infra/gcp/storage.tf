# The replica. Retention is set on each object by who writes it (docs/format.md): a policy of the bucket would hold what is
# pending. Everything that counts is create-only; versions and soft delete are for the day on which somebody deletes.

resource "google_storage_bucket" "replica" {
  name          = module.config.bucket.name
  location      = var.region
  storage_class = var.storage_class

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Possible at creation only.
  enable_object_retention = true

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  # Heartbeats and nothing else age: one a minute is read for a week (shared/proof/heartbeat.ts) and then of no use.
  lifecycle_rule {
    condition {
      age            = 8
      matches_prefix = ["${module.config.bucket.prefix}heartbeats/"]
      with_state     = "LIVE"
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 1
      matches_prefix             = ["${module.config.bucket.prefix}heartbeats/"]
      with_state                 = "ARCHIVED"
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = var.noncurrent_days
      with_state                 = "ARCHIVED"
    }
    action {
      type = "Delete"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]
    content {
      default_kms_key_name = encryption.value
    }
  }

  force_destroy = false
  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.this]
}

# A warm standby learns of a new model here: a message for every release that is written.
resource "google_pubsub_topic" "releases" {
  name = "lifeboat-releases"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this]
}

data "google_storage_project_service_account" "this" {
  project = module.config.project

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic_iam_member" "storage" {
  topic  = google_pubsub_topic.releases.name
  role   = "roles/pubsub.publisher"
  member = data.google_storage_project_service_account.this.member
}

resource "google_storage_notification" "releases" {
  bucket             = google_storage_bucket.replica.name
  topic              = google_pubsub_topic.releases.id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = "${module.config.bucket.prefix}releases/"

  depends_on = [google_pubsub_topic_iam_member.storage]
}

# Who encrypts and decrypts with the key: the services, not the identities.
resource "google_kms_crypto_key_iam_member" "this" {
  for_each = var.kms_key_name == null ? {} : merge(
    { storage = data.google_storage_project_service_account.this.member },
    local.has_rows ? { bigtable = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-bigtable.iam.gserviceaccount.com" } : {},
  )

  crypto_key_id = var.kms_key_name
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
