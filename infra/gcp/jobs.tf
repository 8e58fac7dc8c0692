# What Google runs, with AWS alive or not: the scrub, and the watch on the heartbeat. Both are the command of this repository
# in a container (Dockerfile).

locals {
  replica_url = "gs://${google_storage_bucket.replica.name}/${module.config.bucket.prefix}"

  jobs = {
    scrub = {
      identity = "lifeboat-scrubber"
      args     = ["validate", "--scrub", "--slice", "today", "--report", "--json", "--replica", local.replica_url]
      schedule = var.scrub_schedule
      cpu      = "1"
      memory   = "2Gi"
      # A thirtieth of the replica. What it found it would find again: somebody looks first.
      timeout     = "43200s"
      retries_max = 0
    }
    watch = {
      identity    = "lifeboat-watcher"
      args        = ["status", "--heartbeat", "--json", "--replica", local.replica_url]
      schedule    = var.watch_schedule
      cpu         = "1"
      memory      = "512Mi"
      timeout     = "120s"
      retries_max = 1
    }
  }
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "lifeboat"
  location      = var.region
  format        = "DOCKER"
  description   = "The image of the lifeboat command"

  docker_config {
    immutable_tags = true
  }

  depends_on = [google_project_service.this]
}

resource "google_cloud_run_v2_job" "this" {
  for_each = var.image == null ? {} : local.jobs

  name                = "lifeboat-${each.key}"
  location            = var.region
  deletion_protection = false

  template {
    task_count = 1

    template {
      service_account = google_service_account.this[each.value.identity].email
      timeout         = each.value.timeout
      max_retries     = each.value.retries_max

      containers {
        image = var.image
        args  = each.value.args

        resources {
          limits = {
            cpu    = each.value.cpu
            memory = each.value.memory
          }
        }
      }
    }
  }

  depends_on = [google_project_service.this, google_storage_bucket_iam_member.this]
}

# Starts the jobs, and may do nothing else.
resource "google_service_account" "scheduler" {
  account_id   = "lifeboat-scheduler"
  display_name = "Lifeboat starter of the Cloud Run jobs"

  depends_on = [google_project_service.this]
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  for_each = google_cloud_run_v2_job.this

  name     = each.value.name
  location = each.value.location
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

resource "google_cloud_scheduler_job" "this" {
  for_each = google_cloud_run_v2_job.this

  name      = each.value.name
  region    = var.region
  schedule  = local.jobs[each.key].schedule
  time_zone = "Etc/UTC"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${module.config.project}/locations/${var.region}/jobs/${each.value.name}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler.email
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.scheduler]
}
