import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { type Checkpoints, openCheckpoints } from './checkpoints.ts'
import { type Clients, createClients } from './clients.ts'
import { type Invoker, listenForEvents } from './http-api.ts'
import type { Outcome } from './instance.ts'
import { openLogs } from './log-files.ts'
import { sendFailedBatch } from './on-failure.ts'
import { createPool, type Pool, type PoolStats } from './pool.ts'
import { type Reporter, startReporter } from './reporter.ts'
import { startTicker } from './schedule.ts'
import { startSqsSource } from './sqs-source.ts'
import type { ScheduleSpec, Stack, StreamMapping } from './stack.ts'
import { createStreamClient, type StreamRecord } from './stream-client.ts'
import { startStreamSource, type StreamSource } from './stream-source.ts'

export type RunnerOptions = {
  stack: Stack
  /** Where packageStack unpacked the bundles. */
  buildDir: string
  /** For logs and checkpoints: a runner that starts again on it goes on where the last one was. */
  dir: string
  port?: number
  /** Instances of one function for each of its queues at most (2 unless given), whatever the template allows. */
  instancesMax?: number
  /** How many times faster than their rate schedules run (1 unless given). */
  scheduleSpeed?: number
  /** How many times faster than real ones the minutes of CloudWatch pass (1 unless given). */
  metricsSpeed?: number
  idleMs?: number
  onLog?: (functionName: string, line: string) => void
  /** Failures of the runner's own: an endpoint that is away. Written to stderr unless given. */
  onError?: (where: string, error: unknown) => void
}

export type Runner = {
  url: string
  port: number
  /** By function name. */
  stats(): Record<string, PoolStats>
  invoke(name: string, payload: unknown): Promise<Outcome>
  /** Resolves when queues are empty, streams are read to their tip and nothing runs; throws after `timeoutMs`. */
  idle(timeoutMs?: number): Promise<void>
  /** The process ids of every instance. */
  pids(): number[]
  /** SIGKILLs every instance, as a failing sandbox would end; what they worked on comes again. */
  kill(): Promise<void>
  /** Ends everything after the batches that run now, or after five seconds. */
  stop(): Promise<void>
}

const asyncRetries = 2
const stopGraceMs = 5000

const createPools = (options: RunnerOptions, reporter: Reporter): Map<string, Pool> => {
  const { stack, buildDir, instancesMax = 2, idleMs = 300_000 } = options
  const write = openLogs(options.dir, options.onLog)
  return new Map(
    stack.functions.map((spec) => {
      const folder = join(buildDir, spec.bundle)
      const onLine = (line: string): void => {
        write(spec.name, line)
        reporter.line(line)
      }
      const onDone = (outcome: Outcome, durationMs: number): void => {
        const counts = { Invocations: 1, Errors: outcome.ok ? 0 : 1, Throttles: 0, Duration: durationMs }
        for (const [name, value] of Object.entries(counts))
          reporter.add('AWS/Lambda', name, { FunctionName: spec.name }, value)
      }
      // As in an account with concurrency to spare: what one queue holds does not wait for what another does.
      const queues = stack.sqsMappings.filter(({ functionArn }) => functionArn === spec.arn).length
      const most = instancesMax * Math.max(1, queues)
      return [spec.name, createPool({ stack, spec, folder, instancesMax: most, idleMs, onLine, onDone })]
    }),
  )
}

const scheduledEvent = (stack: Stack, schedule: ScheduleSpec): unknown =>
  schedule.input === undefined
    ? {
        version: '0',
        'detail-type': 'Scheduled Event',
        source: 'aws.events',
        account: stack.account,
        region: stack.region,
        time: `${new Date().toISOString().slice(0, 19)}Z`,
        resources: [schedule.arn],
        detail: {},
      }
    : (JSON.parse(schedule.input) as unknown)

const createInvoker = (stack: Stack, pools: ReadonlyMap<string, Pool>): Invoker & { pending(): number } => {
  let pending = 0
  const poolOf = (name: string): Pool => {
    const pool = pools.get(name)
    if (!pool) throw new Error(`the stack has no function ${name}`)
    return pool
  }
  const invokeLater = async (name: string, payload: unknown): Promise<void> => {
    pending += 1
    for (let attempt = 0; attempt <= asyncRetries; attempt += 1) {
      if (attempt > 0) await sleep(1000 * attempt)
      if ((await poolOf(name).invoke(payload)).ok) break
    }
    pending -= 1
  }
  return {
    find: (asked) =>
      stack.functions.find(
        (spec) => spec.name === asked || spec.arn === asked || spec.arn === asked.replace(/:[^:]*$/, ''),
      )?.name,
    invoke: (name, payload, byHand) => poolOf(name).invoke(payload, byHand),
    invokeLater: (name, payload) => void invokeLater(name, payload),
    pending: () => pending,
  }
}

const messagesOf = async (clients: Clients, QueueUrl: string): Promise<number> => {
  const names = [
    'ApproximateNumberOfMessages',
    'ApproximateNumberOfMessagesNotVisible',
    'ApproximateNumberOfMessagesDelayed',
  ] as const
  const { Attributes } = await clients.sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...names] }))
  return names.reduce((total, name) => total + Number(Attributes?.[name] ?? 0), 0)
}

type Starting = {
  options: RunnerOptions
  clients: Clients
  checkpoints: Checkpoints
  invoke: (functionArn: string, payload: unknown) => Promise<Outcome>
  onError: (where: string, error: unknown) => void
  reporter: Reporter
}

/** Age of the last record of a batch when its function is called. */
const iteratorAgeMs = (event: unknown): number => {
  const { Records } = event as { Records: StreamRecord[] }
  return Math.max(0, Date.now() - (Records.at(-1)?.dynamodb.ApproximateCreationDateTime ?? 0) * 1000)
}

const startStream = (starting: Starting, mapping: StreamMapping): StreamSource => {
  const { options, clients, checkpoints, invoke, onError, reporter } = starting
  const { stack } = options
  const FunctionName = stack.functions.find(({ arn }) => arn === mapping.functionArn)?.name ?? mapping.functionArn
  return startStreamSource({
    client: createStreamClient(stack.endpoints.dynamodb, stack.region, mapping.sourceArn),
    mapping,
    checkpoints,
    invoke: (event) => {
      reporter.add('AWS/Lambda', 'IteratorAge', { FunctionName }, iteratorAgeMs(event))
      return invoke(mapping.functionArn, event)
    },
    onFailure: async (given, shardId) => {
      await sendFailedBatch(clients, stack, mapping, shardId, given)
      const name = mapping.onFailure === undefined ? 'DroppedEventCount' : 'OnFailureDestinationDeliveredEventCount'
      reporter.add('AWS/Lambda', name, { EventSourceMappingUUID: mapping.logicalId }, given.records.length)
    },
    onError: (error) => onError(mapping.logicalId, error),
  })
}

const startSources = (starting: Starting) => {
  const { options, clients, invoke, onError } = starting
  const { stack, instancesMax = 2, scheduleSpeed = 1 } = options
  const queues = stack.sqsMappings.map((mapping) =>
    startSqsSource({
      sqs: clients.sqs,
      mapping,
      region: stack.region,
      concurrency: instancesMax,
      invoke: (event) => invoke(mapping.functionArn, event),
      onError: (error) => onError(mapping.logicalId, error),
    }),
  )
  const streams = stack.streamMappings.map((mapping) => startStream(starting, mapping))
  const tickers = stack.schedules.map((schedule) =>
    startTicker(schedule.everyMs / scheduleSpeed, async () => {
      const outcome = await invoke(schedule.functionArn, scheduledEvent(stack, schedule))
      if (!outcome.ok) onError(schedule.logicalId, outcome.error)
    }),
  )
  return { queues, streams, tickers }
}

/**
 * Runs the functions of a deployed stack on this machine: every event source mapping, rule and schedule of the template
 * with Lambda's own rules, each instance a process of its own that runs the built bundle.
 */
export const startRunner = async (options: RunnerOptions): Promise<Runner> => {
  const { stack, dir } = options
  const onError = options.onError ?? ((where, error) => console.error(`runner: ${where}:`, error))
  const clients = createClients(stack.endpoints, stack.region)
  const checkpoints = openCheckpoints(dir)
  const reporter = startReporter(stack, options.metricsSpeed ?? 1, (error) => onError('CloudWatch', error))
  const pools = createPools(options, reporter)
  const invoker = createInvoker(stack, pools)
  const invoke = (functionArn: string, payload: unknown): Promise<Outcome> =>
    invoker.invoke(invoker.find(functionArn) ?? functionArn, payload)

  const stats = (): Record<string, PoolStats> =>
    Object.fromEntries([...pools].map(([name, pool]) => [name, pool.stats()]))
  const server = await listenForEvents({ port: options.port ?? 0, stack, clients, invoker, stats })

  const { queues, streams, tickers } = startSources({ options, clients, checkpoints, invoke, onError, reporter })

  const quiet = async (): Promise<boolean> => {
    if (invoker.pending() > 0 || [...pools.values()].some((pool) => pool.stats().inFlight > 0)) return false
    if ([...queues, ...streams].some((source) => source.busy())) return false
    const urls = new Set(stack.sqsMappings.map((mapping) => mapping.queueUrl))
    for (const url of urls) if ((await messagesOf(clients, url)) > 0) return false
    return true
  }
  const idle = async (timeoutMs = 60_000): Promise<void> => {
    const deadline = Date.now() + timeoutMs
    // What ends may have started something else: twice quiet, and in between a whole round that found every stream empty.
    let rounds: number[] | undefined
    while (Date.now() < deadline) {
      const still = await quiet()
      const now = streams.map((stream) => stream.emptyRounds())
      const since = rounds
      if (still && since && now.every((round, at) => round > (since[at] ?? 0) + 1)) return
      if (!still) rounds = undefined
      else rounds ??= now
      await sleep(50)
    }
    throw new Error(`the stack is not idle after ${timeoutMs} ms: ${JSON.stringify(stats())}`)
  }
  const kill = async (): Promise<void> => {
    await Promise.all([...pools.values()].map((pool) => pool.kill()))
  }
  let stopped: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    const impatience = setInterval(() => void kill(), stopGraceMs)
    await Promise.all([...queues, ...streams, ...tickers].map((source) => source.stop()))
    clearInterval(impatience)
    await server.close()
    await kill()
    await reporter.stop()
    checkpoints.close()
    clients.close()
  }
  return {
    url: server.url,
    port: server.port,
    stats,
    invoke: (name, payload) => invoke(name, payload),
    idle,
    pids: () => [...pools.values()].flatMap((pool) => pool.stats().pids),
    kill,
    stop: () => (stopped ??= stop()),
  }
}
