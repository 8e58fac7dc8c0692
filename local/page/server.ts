/**
 * One page of what Lifeboat does on this machine, live: plain HTML, polled every two seconds, with nothing from the
 * internet. On loopback, for requests that name loopback: another site's page cannot read it.
 */
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BlobStore } from '../../shared/ports.ts'
import { type Listening, listen, sendJson } from '../http.ts'
import { readPageData } from './data.ts'

const here = import.meta.dirname
const uplot = join(fileURLToPath(import.meta.resolve('uplot')), '../..', 'dist')
const files: Record<string, { file: string; type: string }> = {
  '/': { file: join(here, 'index.html'), type: 'text/html' },
  '/page.js': { file: join(here, 'page.js'), type: 'text/javascript' },
  '/page.css': { file: join(here, 'page.css'), type: 'text/css' },
  '/icon.svg': { file: join(here, 'icon.svg'), type: 'image/svg+xml' },
  '/uplot.js': { file: join(uplot, 'uPlot.esm.js'), type: 'text/javascript' },
  '/uplot.css': { file: join(uplot, 'uPlot.min.css'), type: 'text/css' },
}
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const isLoopback = (host: string | undefined): boolean => /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host ?? '')

export const startPage = (options: { cloudwatch: string; store: BlobStore; port?: number }): Promise<Listening> => {
  const { cloudwatch, store, port } = options
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    request.resume()
    response.setHeader('content-security-policy', policy)
    response.setHeader('x-content-type-options', 'nosniff')
    response.setHeader('referrer-policy', 'no-referrer')
    response.setHeader('cache-control', 'no-store')
    if (!isLoopback(request.headers.host)) return sendJson(response, 421, { error: 'this page is for loopback only' })
    if (request.method !== 'GET') return sendJson(response, 405, { error: 'GET only' })
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    if (path === '/data.json') return sendJson(response, 200, await readPageData(cloudwatch, store))
    const found = Object.hasOwn(files, path) ? files[path] : undefined
    if (!found) return sendJson(response, 404, { error: 'there is no such page' })
    response.writeHead(200, { 'content-type': `${found.type}; charset=utf-8` })
    response.end(await readFile(found.file))
  }
  return listen({
    ...(port !== undefined && { port }),
    handle,
    onFault: (response, status) => sendJson(response, status, { error: 'the clouds did not answer' }),
  })
}
