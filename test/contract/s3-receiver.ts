import { type Listening, listen, readBody } from '../../local/http.ts'

/** What the embedded S3 posts, as far as the tests look into it. */
export type Delivery = {
  kind: 'eventbridge' | 'queue'
  queueArn?: string
  event?: {
    'detail-type': string
    detail: {
      bucket: { name: string }
      object: { key: string; 'version-id'?: string; sequencer: string; size?: number; etag?: string }
      reason: string
      'deletion-type'?: string
    }
  }
  message?: { Event?: string; Records?: { eventName: string; s3: { object: { key: string; versionId?: string } } }[] }
}

export type Receiver = Listening & {
  /** What came since the last time it was asked. */
  take(): Delivery[]
  failNext(times: number): void
  refused(): number
}

export const startReceiver = async (): Promise<Receiver> => {
  let taken: Delivery[] = []
  let failures = 0
  let refused = 0
  const listening = await listen({
    handle: async (request, response) => {
      const delivery = JSON.parse(String(await readBody(request))) as Delivery
      if (failures > 0) {
        failures -= 1
        refused += 1
        response.writeHead(503).end()
        return
      }
      taken.push(delivery)
      response.writeHead(204).end()
    },
    onFault: (response, status) => void response.writeHead(status).end(),
  })
  return {
    ...listening,
    take: () => {
      const all = taken
      taken = []
      return all
    },
    failNext: (times) => {
      failures = times
    },
    refused: () => refused,
  }
}
