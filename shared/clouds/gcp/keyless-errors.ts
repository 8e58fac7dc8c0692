import { DeniedError, LifeboatError, UnavailableError } from '../../errors.ts'
import { messageOf, statusOf, translateError } from './errors.ts'

/** Who logs in, by which provider (`audience` is its full resource name), from which AWS region. */
export type Login = { audience: string; serviceAccount: string; region: string }

/** The statuses that gRPC ends a call with for them; without one it says "unknown". */
const grpcCodes = { unauthenticated: 16, unavailable: 14 } as const

type Answered = { response?: { data?: { error?: unknown } }; config?: { url?: string | URL } }

/** The word of RFC 8693 that the token service refused with, or undefined. */
const oauthErrorOf = (error: unknown): string | undefined => {
  const said = (error as Answered).response?.data?.error
  return typeof said === 'string' ? said : undefined
}

const isImpersonation = (error: unknown): boolean =>
  (error as Answered).config?.url?.toString().endsWith(':generateAccessToken') === true

/** What to do about each refusal. https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation */
const adviceOf = ({ audience, serviceAccount, region }: Login, error: unknown): string => {
  if (isImpersonation(error))
    return (
      `the role of this function may not act as ${serviceAccount}: apply infra/gcp for this account and stage, ` +
      'which grants it roles/iam.workloadIdentityUser'
    )
  const said = oauthErrorOf(error)
  if (said === 'invalid_target')
    return `there is no provider ${audience}: deploy with --param gcpWifAudience= and the output wif_audience of infra/gcp`
  if (said === 'unauthorized_client')
    return 'the provider does not take this AWS account or role: infra/gcp must name the account, region and stage that were deployed'
  if (said === 'invalid_grant' || said === 'invalid_request')
    return `AWS did not confirm who signed (GetCallerIdentity in ${region}): look at the clock, at the region, and at whether the role still exists`
  return 'look at the audience, the role and the service account of this function: lifeboat doctor'
}

/** Why there is no Google token, with what to do. */
export const explainLogin = (login: Login, error: unknown): Error => {
  if (error instanceof LifeboatError) return error
  const what = `as ${login.serviceAccount} from AWS ${login.region}`
  const translated = translateError('log in', what, error)
  if (translated instanceof UnavailableError) return Object.assign(translated, { code: grpcCodes.unavailable })
  if (statusOf(error) === undefined && oauthErrorOf(error) === undefined) return translated
  const denied = new DeniedError(`log in ${what}: ${messageOf(error)}: ${adviceOf(login, error)}`, { cause: error })
  return Object.assign(denied, { code: grpcCodes.unauthenticated })
}
