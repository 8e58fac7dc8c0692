import { describe, expect, test } from 'vitest'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { runCli } from '../support/cli.ts'
import { writeTroubles } from '../support/cli-replica.ts'
import { beat, copyConfig, healthyStore, tableBeat } from '../support/heartbeat.ts'
import { noise, writeObject, writePending } from '../support/replica.ts'

type Beat = Parameters<typeof beat>[1]
type Answer = { verdict: string; alarms: { name: string; text: string }[]; [field: string]: unknown }

const answer = async (store: BlobStore) => {
  const { code, stdout } = await runCli(['status', '--json'], { store })
  return { code, ...(JSON.parse(stdout) as Answer) }
}
const late = { key: 'new/1/late', planId: 'cd', plannedAt: '2026-05-03T08:30:00Z', size: 3 * 2 ** 20 }
const proof = (at: string, outcome = 'passed', findings = 0) => ({ at, outcome, findings, report: null })

describe('alarms', () => {
  const usersProof = { ...proof('2026-05-03T04:00:00.000Z', 'failed', 1), table: 'users' }

  test.each<[string, string, string, Beat]>([
    ['heartbeat-stale', 'unknown', 'no heartbeat for 3m 1s, due every 1m', { at: '2026-05-03T09:56:59.000Z' }],
    [
      'lag-unknown',
      'unknown',
      'objects: the lag is unknown: x; y',
      { objects: { lagSeconds: null, unknown: ['x', 'y'] } },
    ],
    ['lag-over-rpo', 'behind', 'objects: a lag of 15m 1s is over the RPO of 15m', { objects: { lagSeconds: 901 } }],
    ['lag-unknown', 'unknown', 'users: the lag is unknown', { tables: [tableBeat('users', { lagSeconds: null })] }],
    [
      'lag-over-rpo',
      'behind',
      'users: a lag of 1m 1s is over the RPO of 1m',
      { tables: [tableBeat('users', { lagSeconds: 61 })] },
    ],
    [
      'quarantined',
      'problems found',
      'users: 2 changes in quarantine',
      { tables: [tableBeat('users', { quarantined: 2 })] },
    ],
    ['dead-letters', 'problems found', '1 message in dead-letter queues', { objects: { deadLetters: 1 } }],
    [
      'validation-failed',
      'problems found',
      'validation failed with 3 findings',
      { proofs: { validate: proof('2026-05-03T08:00:00.000Z', 'failed', 3) } },
    ],
    [
      'validation-old',
      'unknown',
      'the last validation is of 1d 2h ago, due every 26h',
      { proofs: { validate: proof('2026-05-02T07:59:59.000Z') } },
    ],
    ['validation-old', 'unknown', 'nothing was ever validated', { proofs: { validate: null } }],
    [
      'validation-incomplete',
      'unknown',
      'the last validation is incomplete',
      { proofs: { validate: proof('2026-05-03T08:00:00.000Z', 'incomplete') } },
    ],
    [
      'scrub-failed',
      'problems found',
      'scrub failed with 1 finding',
      { proofs: { scrub: { ...proof('2026-05-03T08:00:00.000Z', 'failed', 1), coverageDays: 30 } } },
    ],
    [
      'scrub-slow',
      'unknown',
      'the scrub takes 31 days for everything, more than 30',
      { proofs: { scrub: { ...proof('2026-05-03T08:00:00.000Z'), coverageDays: 30.1 } } },
    ],
    [
      'scrub-slow',
      'unknown',
      'the last scrub is of 31 days ago, more than 30',
      { proofs: { scrub: { ...proof('2026-04-02T08:00:00.000Z'), coverageDays: null } } },
    ],
    [
      'reconcile-failed',
      'problems found',
      'reconcile failed',
      { proofs: { reconcile: proof('2026-05-03T08:00:00.000Z', 'failed') } },
    ],
    [
      'reconcile-old',
      'unknown',
      'reconcile of everything has not passed yet, due every 26h',
      { proofs: { reconcile: null } },
    ],
    [
      'reconcile-old',
      'unknown',
      'reconcile of everything has not passed yet, due every 26h',
      { proofs: { reconcile: { ...proof('2026-05-03T09:00:00.000Z'), provenAt: null } } },
    ],
    [
      'reconcile-old',
      'unknown',
      'reconcile of everything passed last 1d 2h ago, due every 26h',
      { proofs: { reconcile: { ...proof('2026-05-03T09:00:00.000Z'), provenAt: '2026-05-02T07:59:59.000Z' } } },
    ],
    [
      'comparison-old',
      'unknown',
      'users: the comparison of everything has not passed yet, due every 26h',
      { proofs: { rows: [] } },
    ],
    [
      'comparison-old',
      'unknown',
      'users: the comparison of everything passed last 1d 2h ago, due every 26h',
      { proofs: { rows: [{ ...proof('2026-05-02T07:59:59.000Z', 'incomplete'), table: 'users' }] } },
    ],
    [
      'comparison-old',
      'unknown',
      'users: the comparison of everything passed last 1d 2h ago, due every 26h',
      {
        proofs: {
          rows: [{ ...proof('2026-05-03T09:00:00.000Z'), provenAt: '2026-05-02T07:59:59.000Z', table: 'users' }],
        },
      },
    ],
    [
      'rows-differ',
      'problems found',
      'users: the comparison failed with 1 finding',
      { proofs: { rows: [usersProof] } },
    ],
  ])('%s: %s', async (name, verdict, text, change) => {
    const store = createMemoryBlobStore()
    await copyConfig(store)
    await beat(store, change)
    const { code, ...rest } = await answer(store)
    expect({ code, verdict: rest.verdict }).toEqual({ code: 1, verdict })
    expect(rest.alarms).toEqual([expect.objectContaining({ name, text })])
  })

  test('what is at a limit is not yet over it', async () => {
    const store = createMemoryBlobStore()
    await copyConfig(store)
    await writePending(store, { ...late, plannedAt: '2026-05-03T09:45:00Z' })
    await beat(store, {
      at: '2026-05-03T09:57:00.000Z',
      objects: { lagSeconds: 900 },
      tables: [tableBeat('users', { lagSeconds: 60 })],
      proofs: {
        validate: proof('2026-05-02T08:00:00.000Z'),
        scrub: { ...proof('2026-05-03T08:00:00.000Z'), coverageDays: 30 },
      },
    })
    expect(await answer(store)).toMatchObject({ code: 0, verdict: 'protected', alarms: [], heartbeatAgeSeconds: 180 })
  })

  test('a plan that waits too long is an alarm before the next heartbeat tells', async () => {
    const store = await healthyStore()
    await writePending(store, late)
    const { code, verdict, alarms } = await answer(store)
    expect({ code, verdict }).toEqual({ code: 1, verdict: 'behind' })
    expect(alarms).toMatchObject([
      { name: 'pending-over-rpo', text: 'objects: one is pending for 1h 30m, the RPO is 15m' },
    ])
    const { stdout } = await runCli(['status'], { store, columns: 80 })
    expect(stdout).toContain('pending    1, 3.0 MiB; oldest for 1h 30m: s3://models/new/1/late\n')
  })

  test('a lag that the heartbeat tells is not told again by the plan that waits', async () => {
    const store = createMemoryBlobStore()
    await copyConfig(store)
    await writePending(store, late)
    await beat(store, { objects: { lagSeconds: 5460 } })
    expect((await answer(store)).alarms.map(({ name }) => name)).toEqual(['lag-over-rpo'])
  })

  test('what was refused is shown until the replica has it', async () => {
    const store = await healthyStore()
    await writeTroubles(store)
    expect(await answer(store)).toMatchObject({ code: 0, refused: 1 })
    await writeObject(store, { key: 'evil\u001b[2Jname', version: 'v9', bytes: noise(10, 1) })
    expect(await answer(store)).toMatchObject({ code: 0, refused: 0 })
  })
})
