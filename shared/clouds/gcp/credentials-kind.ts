import { type AuthClient, AwsClient, Compute, Impersonated, JWT, UserRefreshClient } from 'google-auth-library'
import { InvalidInputError } from '../../errors.ts'

/** What credentials are, and whether they end with AWS. Throws InvalidInputError where that cannot be told. */
export const describeCredentials = (client: AuthClient): { kind: string; isFromAws: boolean } => {
  if (client instanceof Impersonated) {
    // The library keeps to itself whose credentials they are made of.
    const { sourceClient } = client as unknown as { sourceClient: AuthClient }
    const { kind, isFromAws } = describeCredentials(sourceClient)
    return { kind: `impersonated by ${kind}`, isFromAws }
  }
  if (client instanceof AwsClient) return { kind: 'federated from AWS', isFromAws: true }
  if (client instanceof JWT) return { kind: 'the key of a service account', isFromAws: false }
  if (client instanceof UserRefreshClient) return { kind: 'those of a user (gcloud)', isFromAws: false }
  if (client instanceof Compute) return { kind: 'those of a machine of Google', isFromAws: false }
  throw new InvalidInputError(
    `credentials of the kind ${client.constructor.name}: whether what they are made of is kept in AWS cannot be told`,
  )
}
