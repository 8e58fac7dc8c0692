import { type AuthClient, GoogleAuth } from 'google-auth-library'
import { DeniedError } from '../../errors.ts'
import { messageOf } from './errors.ts'

const scope = 'https://www.googleapis.com/auth/cloud-platform'

/** What a person does about credentials that are missing or no longer good. */
export const logInHint =
  'run "gcloud auth application-default login", or set GOOGLE_APPLICATION_CREDENTIALS to a credentials file'

/**
 * The credentials that every Google tool finds: the file that GOOGLE_APPLICATION_CREDENTIALS names, those of gcloud, or
 * the metadata server of Google's own machines (https://cloud.google.com/docs/authentication/application-default-credentials).
 * Throws DeniedError, with what to do, where there are none.
 */
export const findDefaultCredentials = async (projectId: string): Promise<AuthClient> => {
  try {
    // The project is given, since looking for it starts gcloud.
    return await new GoogleAuth({ scopes: scope, projectId }).getClient()
  } catch (cause) {
    const found = messageOf(cause)
      .replace(/^Unable to read the credential file [^:]*: /, '')
      .replace(/\. ENOENT.*$/s, '')
    const what = found.startsWith('Could not load the default credentials')
      ? 'no Google credentials'
      : `no usable Google credentials: ${found}`
    throw new DeniedError(`${what}: ${logInHint}`, { cause })
  }
}
