variable "config" {
  description = "Path of lifeboat.yml."
  type        = string
}

variable "stage" {
  description = "The stage whose overrides apply."
  type        = string
}
