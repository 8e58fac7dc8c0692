import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Facts } from '../../cli/status/gather.ts'
import { showStatus } from '../../cli/status/screen.ts'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { concludeReport, writeReport } from '../../shared/proof/report.ts'
import { runCli } from '../support/cli.ts'
import { writeReplica, writeTroubles } from '../support/cli-replica.ts'
import { beat, copyConfig, healthyStore, tableBeat } from '../support/heartbeat.ts'
import { writePending } from '../support/replica.ts'

type Answer = { alarms: { name: string }[]; rpo: unknown }

const show = (store: BlobStore, ...args: string[]) => runCli(['status', ...args], { store, columns: 80 })
const late = { key: 'new/1/late', planId: 'cd', plannedAt: '2026-05-03T08:30:00Z', size: 3 * 2 ** 20 }

describe('the screen', () => {
  test('all is well', async () => {
    const store = await healthyStore()
    await writeReplica(store)
    const { code, stdout, stderr } = await show(store)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(`\
Protected: nothing is late and every daily check passed
replica    gs://replica/, stage prod, as of the heartbeat 42s ago
alarms     none
models     1 model, 1 version protected, 1 unverified
objects    4 versions, 2 in no release
pending    none
lag        0s, RPO 15m; canary 3m ago
queues     0 messages; dead letters 0
rows       table  lag, RPO 1m  whole until  quarantined  compared
           users  30s          09:58:48Z              0  passed 6h ago
validation passed 2h ago
scrub      passed 4h ago, all of it in 12 days
reconcile  passed 1h ago
drill      none yet
`)
  })

  test('whatever is wrong fits 24 lines of 80 columns, worst first after the heartbeat', async () => {
    const store = createMemoryBlobStore()
    await copyConfig(store)
    await writeReplica(store)
    await writeTroubles(store)
    await writePending(store, late)
    const tables = Array.from({ length: 9 }, (_, index) => tableBeat(`table-${index}-of-features-with-a-long-name`))
    tables[7] = { ...tables[7]!, quarantined: 3, lagSeconds: null, unknown: ['no canary came'], featureTime: null }
    const failed = { at: '2026-05-02T01:00:00.000Z', outcome: 'failed', findings: 2, report: null }
    await beat(store, {
      at: '2026-05-03T09:30:00.000Z',
      objects: { deadLetters: 1, lagSeconds: null, unknown: ['the queue did not answer'.repeat(5)] },
      tables,
      proofs: { validate: failed, scrub: { ...failed, coverageDays: 45 } },
    })
    const { code, stdout } = await show(store)
    const lines = stdout.trimEnd().split('\n')
    expect(code).toBe(1)
    expect(lines.length).toBeLessThanOrEqual(24)
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
    expect(stdout).toMatchInlineSnapshot(`
      "Problems found: 19 alarms
      replica    gs://replica/, stage prod, as of the heartbeat 30m ago
      alarms     no heartbeat for 30m, due every 1m
                 1 message in dead-letter queues
                 table-7-of-features-with-a-long-name: 3 changes in quarantine
                 validation failed with 2 findings
                 scrub failed with 2 findings
                 and 14 more: --json lists them
      models     1 model, 1 version protected, 1 unverified, 1 waiting
      objects    4 versions, 2 in no release
      pending    1, 3.0 MiB; oldest for 1h 30m: s3://models/new/1/late
      lag        unknown, RPO 15m; canary 3m ago
      queues     0 messages; dead letters 1
      refused    1: "lifeboat ls --failed" has the reasons
      rows       table                 lag, RPO 1m  whole until  quarantined  compared
                 table-…h-a-long-name  unknown      unknown                3  none yet
                 table-…h-a-long-name  30s          09:58:48Z              0  none yet
                 table-…h-a-long-name  30s          09:58:48Z              0  none yet
                 table-…h-a-long-name  30s          09:58:48Z              0  none yet
                 and 5 more: --json lists them
      validation failed 1d 9h ago, 2 findings
      scrub      failed 1d 9h ago, 2 findings, all of it in 45 days
      reconcile  passed 1h ago
      drill      none yet
      "
    `)
  })

  test('more names than are looked at: what the heartbeat said, and that it is no longer so', async () => {
    const kept = { models: 0, protected: 0, sealed: 0, waiting: 0, objects: 100_000, single: 0, truncated: true }
    const nothing = { validate: undefined, scrub: undefined, reconcile: undefined, drill: undefined }
    const facts: Facts = {
      url: 'gs://replica/',
      nowMs: Date.parse('2026-05-03T10:00:00Z'),
      config: undefined,
      heartbeat: undefined,
      kept,
      pending: undefined,
      morePending: true,
      refused: 0,
      damaged: [],
      proofs: nothing,
    }
    const { text } = showStatus(facts, 80)
    expect(text).toContain(
      'objects    more than 100000 versions\npending    unknown: "lifeboat rpo" looks at every name\n',
    )
  })

  test('queues that did not answer are not empty ones', async () => {
    const store = createMemoryBlobStore()
    await copyConfig(store)
    await beat(store, { objects: { lagSeconds: null, unknown: ['queues: no answer'], queues: [] } })
    const { stdout } = await show(store)
    expect(stdout).toContain('lag        unknown, RPO 15m; canary 3m ago\nqueues     unknown\n')
    const rpo = await runCli(['rpo', '--json'], { store })
    expect(JSON.parse(rpo.stdout)).toMatchObject({ lost: 'unknown', totals: { messages: null } })
  })
})

/** Only how old the heartbeat is, without a complaint. */
const age = async (store: BlobStore, ...args: string[]) => {
  const { code, stdout, stderr } = await show(store, '--heartbeat', ...args)
  expect(stderr).toBe('')
  return { code, stdout }
}

describe('--heartbeat', () => {
  test('a fresh one is fine, whatever it says', async () => {
    const store = createMemoryBlobStore()
    await beat(store, { objects: { deadLetters: 3, lagSeconds: null, unknown: ['no canary came'] } })
    expect(await age(store)).toEqual({ code: 0, stdout: 'gs://replica/: stage prod, heartbeat 42s ago\n' })
    const { code, stdout } = await age(store, '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({
      schema: 1,
      replica: 'gs://replica/',
      heartbeat: { stage: 'prod', at: '2026-05-03T09:59:18.000Z', ageSeconds: 42 },
      alarms: [],
    })
  })

  test('two may be missing, not three', async () => {
    const store = createMemoryBlobStore()
    await beat(store, { at: '2026-05-03T09:57:00.000Z' })
    expect((await age(store)).code).toBe(0)
    const stale = createMemoryBlobStore()
    await beat(stale, { at: '2026-05-03T09:56:59.000Z' })
    expect(await age(stale)).toEqual({ code: 1, stdout: 'no heartbeat for 3m 1s, due every 1m\n' })
  })

  test('none is a finding', async () => {
    const { code, stdout } = await age(createMemoryBlobStore())
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: 'no heartbeat for a week: lags, queues and checks are unknown\n',
    })
  })

  test('nothing but heartbeats is listed or read', async () => {
    const store = await healthyStore()
    const asked: string[] = []
    const watched: BlobStore = {
      ...store,
      list: (prefix) => {
        asked.push(prefix)
        return store.list(prefix)
      },
      read: (name, options) => {
        asked.push(name)
        return store.read(name, options)
      },
    }
    expect((await age(watched)).code).toBe(0)
    expect(asked.filter((name) => !name.startsWith('heartbeats/'))).toEqual([])
    expect(asked).toContain('heartbeats/2026-05-03/')
  })

  test('one that cannot be read is damage', async () => {
    const store = createMemoryBlobStore()
    await store.create('heartbeats/2026-05-03/2026-05-03T09:59:18.000Z.json', Buffer.from('{}'), {})
    const { code, stderr } = await show(store, '--heartbeat')
    expect(code).toBe(5)
    expect(stderr).toContain('heartbeats/2026-05-03/')
  })
})

describe('what the replica tells without a heartbeat', () => {
  test('models, pending and the last reports are still shown', async () => {
    const store = createMemoryBlobStore()
    await writeReplica(store)
    await writePending(store, late)
    const times = { startedAtMs: Date.parse('2026-05-03T07:00:00Z'), endedAtMs: Date.parse('2026-05-03T08:00:00Z') }
    const run = { counts: { manifests: 4 }, findings: [], findingsTotal: 0, isComplete: true, looked: ['manifests'] }
    let drawn = 0
    const random = { next: () => 0, hex: (bytes: number) => String((drawn += 1)).padStart(2 * bytes, '0') }
    for (const kind of ['validate', 'drill'] as const)
      await writeReport(store, random, concludeReport({ kind, scope: null, ...times, ...run }))
    // Of one model only, and later: it proves nothing of the rest.
    const partial = { ...times, endedAtMs: Date.parse('2026-05-03T09:00:00Z') }
    await writeReport(store, random, concludeReport({ kind: 'validate', scope: 'llama', ...partial, ...run }))
    const { code, stdout } = await show(store)
    expect(code).toBe(1)
    expect(stdout).toBe(`\
Unknown: 3 alarms
replica    gs://replica/, no heartbeat
alarms     no heartbeat for a week: lags, queues and checks are unknown
           no RPO to compare with: give a configuration by --config
           reconcile of everything has not passed yet, due every 26h
models     1 model, 1 version protected, 1 unverified
objects    4 versions, 2 in no release
pending    1, 3.0 MiB; oldest for 1h 30m: s3://models/new/1/late
lag        unknown
queues     unknown
rows       unknown
validation passed 2h ago
scrub      none yet
reconcile  none yet
drill      passed 2h ago
`)
  })

  test('damage, denial and silence have their exit codes', async () => {
    const store = await healthyStore()
    store.corrupt(
      store.names().find((name) => name.startsWith('heartbeats/'))!,
      () => Buffer.from('{'),
    )
    expect(await show(store)).toMatchObject({ code: 5, stdout: '' })
    for (const error of [new DeniedError('no'), new UnavailableError('no answer')]) {
      const openReplica = () => Promise.reject(error)
      expect(await runCli(['status'], { openReplica })).toMatchObject({ code: 3, stdout: '' })
    }
  })
})

describe('the targets that the lag is compared with', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lifeboat-status-'))
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  test('are those of the configuration, of its newest copy in the replica, or none', async () => {
    let seconds = 0
    const store = createMemoryBlobStore({ now: () => (seconds += 1) * 1000 })
    await beat(store, { objects: { lagSeconds: 1000 } })
    const names = async (...args: string[]) => {
      const { stdout } = await runCli(['status', '--json', ...args], { store, cwd: dir })
      const { alarms, rpo } = JSON.parse(stdout) as Answer
      return { alarms: alarms.map(({ name }) => name), rpo }
    }
    expect(await names()).toEqual({ alarms: ['rpo-unknown'], rpo: null })
    expect((await show(store)).stdout).toContain('lag        16m 40s, RPO not known here; canary 3m ago\n')
    await store.create('config/ffffffffffffffff.json', Buffer.from('{"formatVersion": 7}'))
    expect(await names()).toEqual({ alarms: ['rpo-unknown'], rpo: null })
    await copyConfig(store)
    expect(await names()).toMatchObject({ alarms: ['lag-over-rpo'], rpo: { objectsMinutes: 15 } })
    const config = {
      formatVersion: 1,
      source: { account: '111122223333', region: 'eu-west-1' },
      replica: { project: 'replica-project', bucket: 'replica' },
      buckets: [{ name: 'models' }],
      rpo: { objectsMinutes: 20 },
    }
    await writeFile(join(dir, 'lifeboat.yml'), JSON.stringify(config))
    expect(await names()).toMatchObject({ alarms: [], rpo: { objectsMinutes: 20 } })
    expect(await names('--replica', 'gs://replica')).toMatchObject({ alarms: ['lag-over-rpo'] })
    await writeFile(join(dir, 'lifeboat.yml'), 'formatVersion: 1')
    expect(await runCli(['status'], { store, cwd: dir })).toMatchObject({ code: 2, stdout: '' })
  })
})
