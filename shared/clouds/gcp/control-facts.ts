import type { AuthClient } from 'google-auth-library'
import type { IdentityProvider, ReplicaFacts, ReplicaKey } from '../../doctor/ports.ts'
import { translateError } from './errors.ts'
import { unlessMissing } from './unless-missing.ts'

const google = { kms: 'https://cloudkms.googleapis.com', iam: 'https://iam.googleapis.com' }

type Policy = { bindings?: { role: string; members?: string[] }[] }
type Provider = { state?: string; disabled?: boolean; aws?: { accountId?: string } }
type CryptoKey = { primary?: { state?: string; protectionLevel?: string } }

/** Calls of Google's own APIs in JSON. */
export const createControlFacts = (options: {
  authClient: AuthClient
  /** Google's own, unless a test stands in for them. */
  endpoints?: typeof google | undefined
}): Pick<ReplicaFacts, 'key' | 'provider' | 'federatedMembers'> => {
  const { authClient, endpoints = google } = options
  const ask = async <T>(what: string, url: string, method: 'GET' | 'POST' = 'GET'): Promise<T> => {
    try {
      return (await authClient.request<T>({ url, method, responseType: 'json', timeout: 15_000, retry: false })).data
    } catch (error) {
      throw translateError('look at', what, error)
    }
  }
  return {
    // https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys
    key: async (name): Promise<ReplicaKey> => {
      const { primary } = await ask<CryptoKey>(name, `${endpoints.kms}/v1/${name}`)
      return { state: primary?.state ?? 'without a primary version', protection: primary?.protectionLevel ?? 'unknown' }
    },
    // https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers/get
    provider: (audience): Promise<IdentityProvider | undefined> =>
      unlessMissing(async () => {
        const name = audience.replace('//iam.googleapis.com/', '')
        const { state, disabled, aws } = await ask<Provider>(`provider ${name}`, `${endpoints.iam}/v1/${name}`)
        return {
          isActive: state === 'ACTIVE' && disabled !== true,
          ...(aws?.accountId !== undefined && { awsAccount: aws.accountId }),
        }
      }),
    // https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/getIamPolicy
    federatedMembers: (account) =>
      unlessMissing(async () => {
        const url = `${endpoints.iam}/v1/projects/-/serviceAccounts/${account}:getIamPolicy`
        const { bindings = [] } = await ask<Policy>(account, url, 'POST')
        return bindings
          .filter(({ role }) => role === 'roles/iam.workloadIdentityUser')
          .flatMap(({ members = [] }) => members)
      }),
  }
}
