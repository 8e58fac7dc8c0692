import { AwsClient } from 'google-auth-library'

export type AwsCredentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string | undefined }

/**
 * Google credentials without a key: the function's own AWS credentials are exchanged at Google's token service for those
 * of `serviceAccount`. https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds
 */
export const createKeylessAuth = (options: {
  audience: string
  serviceAccount: string
  region: string
  credentials: () => Promise<AwsCredentials>
}): AwsClient =>
  new AwsClient({
    audience: options.audience,
    subject_token_type: 'urn:ietf:params:aws:token-type:aws4_request',
    token_url: 'https://sts.googleapis.com/v1/token',
    service_account_impersonation_url: `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${options.serviceAccount}:generateAccessToken`,
    scopes: ['https://www.googleapis.com/auth/cloud-platform'],
    aws_security_credentials_supplier: {
      getAwsRegion: async () => options.region,
      getAwsSecurityCredentials: async () => {
        const { accessKeyId, secretAccessKey, sessionToken } = await options.credentials()
        return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { token: sessionToken }) }
      },
    },
  })
