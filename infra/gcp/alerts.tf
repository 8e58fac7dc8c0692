# Alerts that need nothing of AWS (docs/adr/0014-a-watch-that-reads-the-heartbeat.md). For each job one that a run failed, which is
# fast, and one that too few succeeded, which also holds where nothing runs at all, or never did.

locals {
  alerts = {
    watch = {
      title    = "Lifeboat: the heartbeat is stale or cannot be read"
      severity = "CRITICAL"
      window   = "30m"
      period   = "600s"
      # Failures come every ten minutes as long as there are any.
      close = "1800s"
      text  = "The AWS side has not written its heartbeat, or nothing could read it: see \"The heartbeat is stale\" in docs/runbook.md. `lifeboat status --replica ${local.replica_url}` shows what is known."
    }
    scrub = {
      title    = "Lifeboat: the scrub failed or does not run"
      severity = "ERROR"
      window   = "50h"
      period   = "3600s"
      close    = "172800s"
      text     = "A body in the replica could not be read back, or the job did not finish: its log names each finding, as does the newest report under reports/scrub/: see \"The scrub job failed\" in docs/runbook.md."
    }
  }
}

resource "google_monitoring_alert_policy" "failed" {
  for_each = var.image == null ? {} : local.alerts

  display_name          = each.value.title
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels

  conditions {
    display_name = "A run of lifeboat-${each.key} failed"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${google_cloud_run_v2_job.this[each.key].name}\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = each.value.period
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  # What failed once leaves no value that would say that it no longer does.
  alert_strategy {
    auto_close = each.value.close
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.text
  }

  depends_on = [google_project_service.this]
}

# A condition on absence is silent where there never was a value, and where there is none for a day.
resource "google_monitoring_alert_policy" "silent" {
  for_each = var.image == null ? {} : local.alerts

  display_name          = "${each.value.title}: no run succeeded in ${each.value.window}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels

  conditions {
    display_name = "No run of lifeboat-${each.key} succeeded in ${each.value.window}"

    condition_prometheus_query_language {
      query                     = "(sum(increase(run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\",job_name=\"${google_cloud_run_v2_job.this[each.key].name}\",result=\"succeeded\"}[${each.value.window}])) or vector(0)) < 0.5"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.text
  }

  depends_on = [google_project_service.this]
}
