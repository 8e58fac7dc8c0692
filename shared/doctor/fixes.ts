/** What fixes tell to type, as docs/deploy.md does: each names its stage, or another one is changed. */

/** Terraform sets whatever the stage's file of variables is not given for back to its default. */
export const applyTerraform = (stage: string): string =>
  `terraform -chdir=infra/gcp apply -var-file=stages/${stage}.tfvars`

export const deployStage = (stage: string): string => `npx serverless deploy --stage ${stage}`

export const repairTable = (stage: string, table: string): string => `lifeboat --stage ${stage} diff ${table} --repair`
