# terraform apply -var-file=stages/prod.tfvars
stage         = "prod"
region        = "europe-west1"
bigtable_zone = "europe-west1-b"

bigtable_nodes   = { min = 1, max = 5 }
restorer_members = ["group:model-platform@example.com"]

# kms_key_name          = "projects/example-project/locations/europe-west1/keyRings/lifeboat/cryptoKeys/replica"
# notification_channels = ["projects/example-project/notificationChannels/1234567890"]
# image                 = "europe-west1-docker.pkg.dev/example-project/lifeboat/command@sha256:..."
