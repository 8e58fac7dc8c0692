import { OAuth2Client } from 'google-auth-library'

/** An auth client that sends `token` as it is, for an emulator. */
export const staticToken = (token: string): OAuth2Client => {
  const client = new OAuth2Client()
  client.setCredentials({ access_token: token })
  return client
}
