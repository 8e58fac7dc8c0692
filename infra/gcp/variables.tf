variable "stage" {
  description = "The stage, as in `npx serverless deploy --stage STAGE`: its overrides in lifeboat.yml apply, and the AWS roles carry its name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.stage))
    error_message = "A stage is up to 20 of a-z, 0-9 and dash, a letter first."
  }
}

variable "config" {
  description = "Path of lifeboat.yml, from infra/gcp or absolute."
  type        = string
  default     = "../../lifeboat.yml"

  validation {
    condition     = fileexists(var.config)
    error_message = "There is no such file: give the path of lifeboat.yml."
  }
}

variable "region" {
  description = "The Google Cloud region of the bucket and of the Cloud Run jobs. It cannot be changed later."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Give one region, such as europe-west1: in a multi-region the jobs would pay for reading."
  }
}

variable "bigtable_zone" {
  description = "The zone of the Bigtable cluster, in the region. Not needed without tables."
  type        = string
  default     = null

  validation {
    condition     = var.bigtable_zone == null || can(regex("^${var.region}-[a-z]$", var.bigtable_zone))
    error_message = "The zone must be in the region, such as europe-west1-b."
  }
}

variable "bigtable_nodes" {
  description = "The least and most nodes of the Bigtable cluster, which scales itself between them. Each node costs by the hour."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 3 }

  validation {
    condition     = var.bigtable_nodes.min >= 1 && var.bigtable_nodes.max >= var.bigtable_nodes.min && var.bigtable_nodes.max <= 10 * var.bigtable_nodes.min
    error_message = "At least 1 node, and at most ten times the least."
  }
}

variable "storage_class" {
  description = "The class of the bucket. NEARLINE halves the price of keeping bytes and charges for reading them, which the scrub does once in 30 days."
  type        = string
  default     = "STANDARD"

  validation {
    condition     = contains(["STANDARD", "NEARLINE"], var.storage_class)
    error_message = "STANDARD or NEARLINE: the others charge for more days than heartbeats are kept, and more for the scrub than they save."
  }
}

variable "soft_delete_days" {
  description = "How long Google keeps what was deleted for good, 0 for not at all. It is billed as if it were there."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90 && floor(var.soft_delete_days) == var.soft_delete_days)
    error_message = "0, or 7 to 90 whole days."
  }
}

variable "noncurrent_days" {
  description = "How long versions of objects that were replaced or deleted are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "At least one whole day."
  }
}

variable "kms_key_name" {
  description = "The Cloud KMS key of the bucket and of Bigtable (projects/P/locations/REGION/keyRings/R/cryptoKeys/K); null for keys that Google manages."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_name == null || can(regex("^projects/[^/]+/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key_name))
    error_message = "A key in the region of the bucket: projects/P/locations/${var.region}/keyRings/R/cryptoKeys/K."
  }
}

variable "deletion_protection" {
  description = "Whether the Bigtable instance and tables refuse to be deleted. The bucket always refuses."
  type        = bool
  default     = true
}

variable "pool_id" {
  description = "The id of the workload identity pool. One that was deleted blocks its id for 30 days."
  type        = string
  default     = "lifeboat"

  validation {
    condition     = can(regex("^[a-z0-9-]{4,32}$", var.pool_id)) && !startswith(var.pool_id, "gcp-")
    error_message = "4 to 32 of a-z, 0-9 and dash, not beginning with gcp-."
  }
}

variable "restorer_members" {
  description = "Who may act as lifeboat-restorer, which reads everything: groups, rather than users."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.restorer_members : can(regex("^(user|group|serviceAccount|principal|principalSet):.+$", member))])
    error_message = "Each is user:..., group:..., serviceAccount:..., principal:... or principalSet:..."
  }
}

variable "collector_members" {
  description = "Who may act as lifeboat-collector, the only identity that deletes."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.collector_members : can(regex("^(user|group|serviceAccount|principal):.+$", member))])
    error_message = "Each is user:..., group:..., serviceAccount:... or principal:..."
  }
}

variable "image" {
  description = "The image of the command (README.md says how to build it), by digest; null: no scrub and no watch on the heartbeat until there is one."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("^[a-z0-9./_-]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "An image by its digest, REGION-docker.pkg.dev/PROJECT/lifeboat/command@sha256:...: a tag can be moved."
  }
}

variable "watch_schedule" {
  description = "When the heartbeat is looked at (unix-cron, UTC). The alert expects at least two looks in half an hour."
  type        = string
  default     = "*/10 * * * *"

  validation {
    condition     = length(split(" ", var.watch_schedule)) == 5
    error_message = "Five fields: minute, hour, day of month, month, day of week."
  }
}

variable "scrub_schedule" {
  description = "When a slice of the replica is read back (unix-cron, UTC). The alert expects one a day."
  type        = string
  default     = "17 3 * * *"

  validation {
    condition     = length(split(" ", var.scrub_schedule)) == 5
    error_message = "Five fields: minute, hour, day of month, month, day of week."
  }
}

variable "notification_channels" {
  description = "Who hears of alerts: projects/P/notificationChannels/ID. Without any, incidents are in the console alone."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "Each is projects/P/notificationChannels/ID."
  }
}
