import { DeleteItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PoolStats } from '../../local/lambda/pool.ts'
import type { Shown } from '../../shared/backfill/control.ts'
import type { Spec } from '../../shared/backfill/run.ts'
import { objectManifestSchema, parseRecord } from '../../shared/weights/manifest.ts'
import { newestReport, type Report, reportSchema } from '../../shared/proof/report.ts'
import { estimateProblems } from '../support/backfill-estimate.ts'
import { bucket, type BackfillStack, itemOf, startBackfillStack } from '../support/backfill-stack.ts'
import { table } from '../support/rows-stack.ts'
import { type CliRun, runCli } from '../support/cli.ts'
import { noise, until } from '../support/stack.ts'

/** What was there before is brought in while production goes on, killed twice, paused and resumed. */

/** `seconds` is what both take at least, by their limits; production alone is looked at for `baselineSeconds` before. */
export type BackfillRunOptions = {
  objects: number
  rows: number
  seconds: number
  baselineSeconds?: number
  say?: (line: string) => void
}
export type BackfillRunResult = {
  estimates: Record<'objects' | 'rows', Record<string, number>>
  accounts: Record<'objects' | 'rows', Report>
  /** Seconds from the pause to the last byte or row that was sent. */
  quietAfterSeconds: number
  /** Objects without a manifest. */
  missing: number
  /** `lifeboat validate` over everything in the replica. */
  validated: CliRun
  compared: Report | undefined
  /** Alarms of lag that were seen in ALARM. */
  lagAlarms: string[]
  /** Of objects published meanwhile, in ms. */
  live: { count: number; p50: number; p99: number }
  before: { count: number; p50: number; p99: number }
  seconds: { fill: number; quiet: number; backfill: number; prove: number }
}

/** A minute of schedules and of CloudWatch takes 6 s. */
const speed = 10
/** After a kill, its messages come again within this, live ones too: how late those are says nothing of the backfill. */
const afterKillMs = 15_000
const patienceMs = 4 * 3_600_000
const bodyBytes = 2048

/** One in ten is another one's content. */
function* bodies(objects: number): Generator<[string, Buffer]> {
  for (let index = 0; index < objects; index += 1) {
    const content = index % 10 === 9 ? index - 9 : index
    yield [`old/${index % 50}/weights-${index}.bin`, noise(content + 1, bodyBytes + (content % 7) * 512)]
  }
}

type Live = { stop(): Promise<void>; keys: { key: string; at: number }[] }

/** Publishes and changes all the time. */
const startLive = (it: BackfillStack, rows: number): Live => {
  const keys: Live['keys'] = []
  const stopping = new AbortController()
  const write = async (): Promise<void> => {
    for (let turn = 1; !stopping.signal.aborted; turn += 1) {
      const key = `live/weights-${turn}.bin`
      await it.stack.s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: noise(-turn, 4096) }))
      keys.push({ key, at: Date.now() })
      const index = (turn * 7919) % rows
      await it.dynamodb.send(new PutItemCommand({ TableName: table, Item: itemOf(index, turn) }))
      const { pk, sk } = itemOf((turn * 104_729) % rows)
      await it.dynamodb.send(new DeleteItemCommand({ TableName: table, Key: { pk: pk!, sk: sk! } }))
      await sleep(1000)
    }
  }
  const writing = write()
  // Told by stop().
  writing.catch(() => undefined)
  return {
    keys,
    stop: async () => {
      stopping.abort()
      await writing
    },
  }
}

const lagsOf = async (it: BackfillStack, keys: Live['keys']) => {
  const lags: number[] = []
  for (const { key } of keys)
    for await (const { name } of it.store.list(`objects/${bucket}/${key}/`)) {
      const { sealedAt, source } = parseRecord(objectManifestSchema, name, (await it.store.read(name))!)
      lags.push(Date.parse(sealedAt) - Date.parse(source.lastModified))
    }
  lags.sort((a, b) => a - b)
  const at = (share: number): number => lags[Math.min(lags.length - 1, Math.floor(lags.length * share))] ?? 0
  return { count: lags.length, p50: at(0.5), p99: at(0.99) }
}

const ask = (it: BackfillStack, action: string, more: object = {}) =>
  it.invoke<{ run: Shown; joined?: boolean }>('backfill', { lifeboat: 'backfill', action, ...more })

const estimateOf = async (it: BackfillStack, spec: Spec): Promise<Record<string, number>> => {
  const answer = await it.invoke<{ kind: string; estimate: Record<string, number> }>('backfill', {
    lifeboat: 'backfill',
    action: 'estimate',
    spec,
  })
  if (answer.kind !== 'estimated') throw new Error(`the estimate ${answer.kind}`)
  return answer.estimate
}

type ListedAlarm = { name: string; state: string }

const alarmsOfLag = async (it: BackfillStack): Promise<ListedAlarm[]> => {
  const answer = await fetch(`${it.stack.clouds.endpoints.cloudwatch}/_lifeboat/alarms`)
  const listed = (await answer.json()) as ListedAlarm[]
  return listed.filter(({ name }) => /-(objects|rows)-lag$/.test(name))
}

/** In the first minutes nothing is measured yet, which alarms take for a breach. */
const untilQuiet = (it: BackfillStack): Promise<unknown> =>
  until(async () => {
    const alarms = await alarmsOfLag(it)
    return alarms.length === 2 && alarms.every(({ state }) => state === 'OK')
  }, 'the alarms of lag to be OK')

/** Alarms of lag that are in ALARM at any look. */
const watchAlarms = (it: BackfillStack): { stop(): Promise<string[]> } => {
  const seen = new Set<string>()
  const stopping = new AbortController()
  const watch = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      for (const { name, state } of await alarmsOfLag(it)) if (state === 'ALARM') seen.add(name)
      await sleep(1000)
    }
  }
  const watching = watch()
  watching.catch(() => undefined)
  return {
    stop: async () => {
      stopping.abort()
      await watching
      return [...seen]
    },
  }
}

const logged = (dir: string, name: string): string => {
  try {
    return readFileSync(join(dir, 'lambda', 'logs', `lifeboat-local-${name}.jsonl`), 'utf8')
  } catch {
    return ''
  }
}

/** Everything that backfills have sent: bytes of copies, and items that were read to be written. */
const sentSoFar = (dir: string): string => {
  const copied = logged(dir, 'copySegment').match(/"BackfillBytesSent":\d+/g)?.length ?? 0
  const read = logged(dir, 'backfill').match(/"BackfillItemsRead":\d+/g)?.length ?? 0
  return `${copied}/${read}`
}

const pauseAll = async (it: BackfillStack, dir: string, runs: readonly string[]): Promise<number> => {
  const startedAt = Date.now()
  for (const run of runs) await ask(it, 'pause', { run })
  let last = sentSoFar(dir)
  let movedAt = startedAt
  while (Date.now() - movedAt < 4000) {
    await sleep(250)
    const now = sentSoFar(dir)
    if (now !== last) movedAt = Date.now()
    last = now
  }
  return (movedAt - startedAt) / 1000
}

const workers = /-(backfill|copySegment|commitObject)$/

/** SIGKILLs every instance that the backfill works in; what measures the lag goes on. */
const killWorkers = async (it: BackfillStack): Promise<number> => {
  const stats = (await (await fetch(`${it.stack.runner().url}/_lifeboat/stats`)).json()) as Record<string, PoolStats>
  const pids = Object.entries(stats).flatMap(([name, pool]) => (workers.test(name) ? pool.pids : []))
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  return pids.length
}

const accountOf = async (it: BackfillStack, run: string): Promise<Report> => {
  const { run: shown } = await until(
    async () => {
      const answer = await ask(it, 'show', { run })
      return answer.run.report === undefined ? undefined : answer
    },
    async () => `the backfill to end: ${JSON.stringify((await ask(it, 'show', { run })).run)}`,
    patienceMs,
  )
  const name = shown.report!
  return parseRecord(reportSchema, name, (await it.store.read(name))!)
}

const missingOf = async (it: BackfillStack, objects: number): Promise<number> => {
  const found = new Set<string>()
  for await (const { name } of it.store.list(`objects/${bucket}/old/`)) found.add(name.split('/').slice(0, 5).join('/'))
  return objects - found.size
}

const prove = async (it: BackfillStack) => {
  // The function's own run is of every day, and may have been before the end.
  const validated = await runCli(['validate', '--json'], {
    openReplica: async () => ({ store: it.store, url: 'gs://replica/' }),
  })
  const asked = { lifeboat: 'compare-rows', table, mode: 'full', repair: false }
  const startedAt = new Date().toISOString()
  const isFull = ({ scope, startedAt: at }: Report): boolean => scope === table && at >= startedAt
  const compared = await until(
    async () => {
      await it.invoke('compareRows', asked)
      return (await newestReport(it.store, 'rows', isFull))?.report
    },
    'a full comparison of rows',
    600_000,
  )
  return { validated, compared }
}

export const backfillRun = async (dir: string, options: BackfillRunOptions): Promise<BackfillRunResult> => {
  const { objects, rows, baselineSeconds = 0, say = () => undefined } = options
  let at = Date.now()
  const lap = (): number => {
    const seconds = (Date.now() - at) / 1000
    at = Date.now()
    return seconds
  }
  const it = await startBackfillStack(dir, { bodies: bodies(objects), rows, speed, redeliverSeconds: 5 })
  let live: Live | undefined
  try {
    const seconds = { fill: lap(), quiet: 0, backfill: 0, prove: 0 }
    say(`filled and deployed after ${seconds.fill} s`)
    live = startLive(it, rows)
    await untilQuiet(it)
    const alarms = watchAlarms(it)
    await sleep(baselineSeconds * 1000)
    seconds.quiet = lap()
    const specs = {
      objects: { kind: 'objects', bucket, prefix: 'old/', versions: 'all' },
      rows: { kind: 'table', table, exports: [], segments: 2 },
    } satisfies Record<string, Spec>
    const estimates = { objects: await estimateOf(it, specs.objects), rows: await estimateOf(it, specs.rows) }
    say(`estimated: ${JSON.stringify(estimates)}`)
    const limitsOf = (items: number) => ({ items: items / options.seconds })
    const begunAt = Date.now()
    const killedAt: number[] = []
    const kill = async (): Promise<void> => {
      killedAt.push(Date.now())
      say(`killed ${await killWorkers(it)} instances`)
    }
    const begun = {
      objects: (await ask(it, 'start', { spec: specs.objects, estimate: estimates.objects, limits: limitsOf(objects) }))
        .run.id,
      rows: (await ask(it, 'start', { spec: specs.rows, estimate: estimates.rows, limits: limitsOf(rows) })).run.id,
    }
    const runs = [begun.objects, begun.rows]
    const isUnderWay = async (run: string, share: number, of: number): Promise<boolean> => {
      const { counts, status } = (await ask(it, 'show', { run })).run
      return status !== 'running' || (counts['read'] ?? 0) > share * of
    }
    await until(
      async () => (await isUnderWay(begun.rows, 0.1, rows)) && isUnderWay(begun.objects, 0.1, objects),
      'a tenth',
      patienceMs,
    )
    await kill()
    await until(() => isUnderWay(begun.rows, 0.3, rows), 'a third of the rows', patienceMs)
    const quietAfterSeconds = await pauseAll(it, dir, runs)
    say(`paused: quiet after ${quietAfterSeconds} s`)
    for (const run of runs) await ask(it, 'resume', { run })
    await sleep(1500)
    await kill()
    const accounts = { objects: await accountOf(it, begun.objects), rows: await accountOf(it, begun.rows) }
    seconds.backfill = lap()
    say(`backfilled after ${seconds.backfill} s`)
    const endedAt = Date.now()
    await live.stop()
    const lagAlarms = await alarms.stop()
    const { key: last } = live.keys.at(-1)!
    await until(async () => {
      for await (const _ of it.store.list(`objects/${bucket}/${last}/`)) return true
      return false
    }, 'the last object')
    await sleep(3000)
    const proof = await prove(it)
    const result = {
      estimates,
      accounts,
      quietAfterSeconds,
      missing: await missingOf(it, objects),
      ...proof,
      lagAlarms,
      live: await lagsOf(
        it,
        live.keys.filter(
          ({ at: put }) =>
            put > begunAt &&
            put < endedAt &&
            killedAt.every((killed) => put < killed - 2000 || put > killed + afterKillMs),
        ),
      ),
      // The first ones wait for functions to start.
      before: await lagsOf(it, live.keys.filter(({ at: put }) => put < begunAt - 2000).slice(5)),
    }
    seconds.prove = lap()
    return { ...result, seconds }
  } finally {
    await live?.stop().catch(() => undefined)
    await it.stop()
  }
}

/** What is wrong with a run. */
export const judgeBackfillRun = (run: BackfillRunResult, { objects, rows }: BackfillRunOptions): string[] => {
  const { accounts, estimates } = run
  const problems: string[] = []
  const expected = (isFine: boolean, what: string): void => {
    if (!isFine) problems.push(what)
  }
  expected(run.missing === 0, `${run.missing} of ${objects} objects have no manifest`)
  expected(run.validated.code === 0, `validate ended with ${run.validated.code}: ${run.validated.stderr}`)
  expected(run.compared?.outcome === 'passed', `the comparison ${run.compared?.outcome ?? 'reported nothing'}`)
  const { counts } = accounts.objects
  expected(counts['done'] === objects, `of ${objects} objects: ${JSON.stringify(counts)}`)
  const { done = 0, newer = 0, alreadyThere = 0, read = 0 } = accounts.rows.counts
  expected(done + newer + alreadyThere === read && read > rows / 2, `${read} items were read, ${done} written`)
  for (const [name, account] of Object.entries(accounts)) {
    expected(account.outcome === 'passed', `the backfill of ${name} ${account.outcome}`)
    problems.push(...estimateProblems(name, estimates[name as keyof typeof estimates], account.counts))
  }
  expected(run.quietAfterSeconds < 10, `paused, it sent for ${run.quietAfterSeconds} s`)
  expected(run.lagAlarms.length === 0, `in alarm: ${run.lagAlarms.join(', ')}`)
  return problems
}
