terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source = "hashicorp/google"
      # The version whose schema the tests check against: test/infra/google-provider.json.
      version = "~> 6.50"
    }
  }
}

provider "google" {
  project = module.config.project
  region  = var.region

  default_labels = {
    application = "lifeboat"
    stage       = var.stage
  }
}
