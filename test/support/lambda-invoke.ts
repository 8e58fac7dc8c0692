import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { vi } from 'vitest'

/** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html */
export type InvokeAnswer = { status?: number; headers?: Record<string, string>; body: unknown }

export const functionError = (errorType: string, errorMessage: string): InvokeAnswer => ({
  headers: { 'x-amz-function-error': 'Unhandled' },
  body: { errorType, errorMessage, trace: [] },
})

/** A server that answers as Lambda's Invoke does, with the environment that a command finds it by, until it is stopped. */
export const startInvoke = async (
  answer: (payload: unknown, path: string) => InvokeAnswer | Promise<InvokeAnswer>,
): Promise<{ url: string; stop(): void }> => {
  const reply = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = `${request.method} ${request.url}`
    const { status = 200, headers = {}, body } = await answer(await json(request), path)
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  }
  const server = createServer((request, response) => void reply(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  vi.stubEnv('AWS_ENDPOINT_URL_LAMBDA', url)
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
  vi.stubEnv('AWS_MAX_ATTEMPTS', '1')
  return {
    url,
    stop: () => {
      vi.unstubAllEnvs()
      server.closeAllConnections()
      server.close()
    },
  }
}
