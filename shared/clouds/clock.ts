import { UnavailableError } from '../errors.ts'

const timeoutMs = 10_000
/** A Date header is cut to the second: on average half of one is missing. */
const cutMs = 500

/** How far a server's clock is ahead of this machine's, by the Date of whatever it answers; within about a second. */
export const clockAheadMs = async (url: string): Promise<number> => {
  const begun = Date.now()
  let response: Response
  try {
    response = await fetch(url, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) })
  } catch (cause) {
    throw new UnavailableError(`cannot reach ${new URL(url).host} to ask its clock`, { cause })
  }
  const middle = (begun + Date.now()) / 2
  const date = Date.parse(response.headers.get('date') ?? '')
  if (Number.isNaN(date)) throw new UnavailableError(`${new URL(url).host} answered without a Date`)
  return date + cutMs - middle
}
