import { setTimeout as sleep } from 'node:timers/promises'
import { looksLikeEmf } from '../cloudwatch/emf.ts'
import type { Reported } from '../cloudwatch/server.ts'
import type { Datum } from '../cloudwatch/store.ts'
import type { QueueStats } from '../sqs/fauxqs.ts'
import { startTicker } from './schedule.ts'
import type { Stack } from './stack.ts'

/** Hands the embedded CloudWatch what Lambda and SQS would measure, and the lines that functions print. */
export type Reporter = {
  line(line: string): void
  add(namespace: string, name: string, dimensions: Record<string, string>, value: number): void
  /** After what is on its way was handed over. */
  stop(): Promise<void>
}

const minuteMs = 60_000
const sendEveryMs = 200
/** Kept while CloudWatch is away; what is older is forgotten. */
const keptMax = 20_000

const queueData = (stack: Stack, queues: readonly QueueStats[], timestampMs: number): Datum[] =>
  queues
    .filter(({ name }) => stack.queues.some((queue) => queue.name === name))
    .flatMap(({ name: QueueName, visible, notVisible, delayed, oldestSeconds }) =>
      Object.entries({
        ApproximateNumberOfMessagesVisible: visible,
        ApproximateNumberOfMessagesNotVisible: notVisible,
        ApproximateNumberOfMessagesDelayed: delayed,
        ApproximateAgeOfOldestMessage: oldestSeconds,
      }).map(([name, value]) => ({
        namespace: 'AWS/SQS',
        name,
        dimensions: { QueueName },
        values: [value],
        timestampMs,
      })),
    )

const post = async (endpoint: string, reported: Reported): Promise<void> => {
  const response = await fetch(`${endpoint}/_lifeboat/report`, { method: 'POST', body: JSON.stringify(reported) })
  if (!response.ok) throw new Error(`the embedded CloudWatch answered ${response.status}: ${await response.text()}`)
  await response.body?.cancel()
}

/** `speed`: how many times faster than real ones CloudWatch's minutes pass. Without a CloudWatch in the stack it does nothing. */
export const startReporter = (stack: Stack, speed: number, onError: (error: unknown) => void): Reporter => {
  const { cloudwatch, sqs } = stack.endpoints
  if (cloudwatch === undefined) return { line: () => undefined, add: () => undefined, stop: async () => undefined }
  let lines: string[] = []
  let data: Datum[] = []
  let isAway = false

  const send = async (): Promise<void> => {
    if (lines.length === 0 && data.length === 0) return
    const reported = { lines, data }
    lines = []
    data = []
    try {
      await post(cloudwatch, reported)
      isAway = false
    } catch (error) {
      lines = [...reported.lines, ...lines].slice(-keptMax)
      data = [...reported.data, ...data].slice(-keptMax)
      if (!isAway) onError(error)
      isAway = true
    }
  }
  const everyMinute = async (): Promise<void> => {
    try {
      // Given every minute: a CloudWatch that started anew has none.
      await post(cloudwatch, { alarms: stack.alarms })
      const { queues } = (await (await fetch(`${sqs}/_lifeboat/stats`)).json()) as { queues: QueueStats[] }
      data.push(...queueData(stack, queues, Date.now()))
    } catch (error) {
      if (!isAway) onError(error)
    }
  }
  const first = everyMinute()
  const tickers = [startTicker(sendEveryMs, send), startTicker(minuteMs / speed, everyMinute)]
  return {
    line: (line) => {
      if (looksLikeEmf(line)) lines.push(line)
    },
    add: (namespace, name, dimensions, value) =>
      void data.push({ namespace, name, dimensions, values: [value], timestampMs: Date.now() }),
    stop: async () => {
      await Promise.all([first, ...tickers.map((ticker) => ticker.stop())])
      await Promise.race([send(), sleep(2000, undefined, { ref: false })])
    },
  }
}
