/**
 * CloudWatch, small: keeps the metrics that the runner hands on (EMF lines of the functions, and what AWS itself would
 * measure of Lambda and SQS) and evaluates the metric alarms of the template every minute.
 *
 * Covered: statistics and percentiles at standard resolution, metric alarms with every treatment of missing data,
 * GetMetricData without expressions, DescribeAlarms. `speed` lets minutes pass faster.
 * Not covered, answered by 501: every other operation. Not there: composite alarms, actions, math expressions, anomaly
 * bands, percentiles of low samples. Nothing is on disk: metrics and states end with the process; the runner gives alarms
 * again with each minute.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Listening, listen, readBody, sendJson } from '../http.ts'
import { type AlarmSpec, createAlarms } from './alarms.ts'
import { answer, ApiError } from './api.ts'
import { createScaledClock } from './clock.ts'
import { parseEmf } from './emf.ts'
import { createMetricStore, type Datum, isStatistic, minuteMs } from './store.ts'

const targetPrefix = 'GraniteServiceVersion20100801.'
const chartMinutesMax = 1440

/** What the runner sends: lines that functions printed, and data with real timestamps. */
export type Reported = { lines?: string[]; data?: Datum[]; alarms?: AlarmSpec[] }

const refuse = (response: ServerResponse, status: number, code: string, message: string): void => {
  const bytes = Buffer.from(JSON.stringify({ __type: `com.amazonaws.cloudwatch#${code}`, message }))
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0', 'content-length': bytes.length })
  response.end(bytes)
}

export const startCloudWatch = async (options: { port?: number; speed?: number }): Promise<Listening> => {
  const { speed = 1 } = options
  const clock = createScaledClock(speed)
  const store = createMetricStore()
  const alarms = createAlarms(store)

  const report = ({ lines = [], data = [], alarms: specs }: Reported): void => {
    for (const datum of [...lines.flatMap(parseEmf), ...data])
      store.add({ ...datum, timestampMs: clock.toScaled(datum.timestampMs) })
    if (specs) alarms.put(specs, clock.now())
  }

  /** The last minutes of a metric under any dimensions, for charts: one list a set of dimensions. */
  const chart = (query: URLSearchParams): object => {
    const statistic = query.get('stat') ?? 'Maximum'
    if (!isStatistic(statistic)) throw new ApiError(400, 'InvalidParameterValueException', `no statistic ${statistic}`)
    const minutes = Math.min(chartMinutesMax, Math.max(1, Number(query.get('minutes') ?? 60)))
    const end = Math.ceil(clock.now() / minuteMs) * minuteMs
    const wanted = store.list().filter(({ name }) => name === query.get('name'))
    return wanted.map((id) => ({
      ...id,
      points: Array.from({ length: minutes }, (_, index) => {
        const at = end - (minutes - index) * minuteMs
        return { at: clock.toReal(at), value: store.read(id, statistic, at, at + minuteMs) ?? null }
      }),
    }))
  }

  const control = async (path: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
    if (path === '/_lifeboat/report' && request.method === 'POST') {
      report(JSON.parse(String(await readBody(request))) as Reported)
      sendJson(response, 200, { alarms: alarms.list().length })
      return true
    }
    if (path === '/_lifeboat/alarms') {
      const listed = alarms.list().map(({ sinceMs, lastValue, ...alarm }) => ({
        ...alarm,
        since: new Date(clock.toReal(sinceMs)).toISOString(),
        lastValue: lastValue ?? null,
      }))
      sendJson(response, 200, listed)
      return true
    }
    if (path === '/_lifeboat/metrics') {
      sendJson(response, 200, chart(new URL(request.url ?? '/', 'http://localhost').searchParams))
      return true
    }
    return false
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const target = String(request.headers['x-amz-target'] ?? '')
    const body = String(await readBody(request))
    try {
      if (!target.startsWith(targetPrefix))
        throw new ApiError(501, 'NotImplemented', `not implemented: ${target || `${request.method} ${request.url}`}`)
      const answered = answer({ store, alarms, clock }, target.slice(targetPrefix.length), JSON.parse(body || '{}'))
      const bytes = Buffer.from(JSON.stringify(answered))
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0', 'content-length': bytes.length })
      response.end(bytes)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      refuse(response, error.status, error.code, error.message)
    }
  }

  const server = await listen({
    ...(options.port !== undefined && { port: options.port }),
    handle,
    control,
    onFault: (response, status) => refuse(response, status, 'InternalServiceFault', 'a fault was switched on'),
    stats: () => ({ metrics: store.list().length, alarms: alarms.list().length, speed }),
  })
  const timer = setInterval(() => alarms.evaluate(clock.now()), minuteMs / speed)
  return {
    ...server,
    close: async () => {
      clearInterval(timer)
      await server.close()
    },
  }
}
