import { AwsClient } from 'google-auth-library'
import { explainLogin, type Login } from './keyless-errors.ts'

export type AwsCredentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string | undefined }

export type KeylessOptions = Login & {
  /** Fresh ones at each call: those of a function's role change within hours. */
  credentials: () => Promise<AwsCredentials>
  /** Google's own, unless a test stands in for them: there is no way to set them from outside. */
  endpoints?: { sts: string; iamCredentials: string }
}

const google = { sts: 'https://sts.googleapis.com', iamCredentials: 'https://iamcredentials.googleapis.com' }

/**
 * Google credentials without a key: a GetCallerIdentity request, signed with the function's own AWS credentials, is
 * exchanged at Google's token service for a federated token, and that for one of `serviceAccount`. Both are fetched again
 * 5 minutes before they expire. Throws DeniedError with what to do where a side refuses, UnavailableError where it is not
 * reached. https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds
 */
export const createKeylessAuth = (options: KeylessOptions): AwsClient => {
  const { audience, serviceAccount, region, credentials, endpoints = google } = options
  const client = new AwsClient({
    audience,
    subject_token_type: 'urn:ietf:params:aws:token-type:aws4_request',
    token_url: `${endpoints.sts}/v1/token`,
    service_account_impersonation_url: `${endpoints.iamCredentials}/v1/projects/-/serviceAccounts/${serviceAccount}:generateAccessToken`,
    scopes: ['https://www.googleapis.com/auth/cloud-platform'],
    aws_security_credentials_supplier: {
      getAwsRegion: async () => region,
      getAwsSecurityCredentials: async () => {
        const { accessKeyId, secretAccessKey, sessionToken } = await credentials()
        return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { token: sessionToken }) }
      },
    },
  })
  // Whatever asks for a token, of the clients of Storage and Bigtable too, asks here.
  const getAccessToken = client.getAccessToken.bind(client)
  client.getAccessToken = async () => {
    try {
      return await getAccessToken()
    } catch (error) {
      throw explainLogin({ audience, serviceAccount, region }, error)
    }
  }
  return client
}
