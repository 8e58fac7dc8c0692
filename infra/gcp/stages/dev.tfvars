# terraform apply -var-file=stages/dev.tfvars
stage         = "dev"
region        = "europe-west1"
bigtable_zone = "europe-west1-b"

# A stage that comes and goes.
deletion_protection = false
soft_delete_days    = 0
noncurrent_days     = 1
