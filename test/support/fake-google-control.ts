import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Answers of Google's Cloud KMS and IAM by method and path, for the doctor; anything else is 404. Not the real services. */
export type FakeControl = {
  url: string
  answers: Map<string, { status?: number; body: object }>
  close(): Promise<void>
}

const apiError = (code: number, message: string) => ({ status: code, body: { error: { code, message } } })

export const startFakeControl = async (token: string): Promise<FakeControl> => {
  const answers: FakeControl['answers'] = new Map()
  const server = createServer((request, response) => {
    const isKnown = request.headers.authorization === `Bearer ${token}`
    const found = answers.get(`${request.method} ${request.url}`) ?? apiError(404, `${request.url} was not found`)
    const { status = 200, body } = isKnown ? found : apiError(401, 'no such token')
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
