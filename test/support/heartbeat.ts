import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { type Heartbeat, writeHeartbeat } from '../../shared/proof/heartbeat.ts'
import { toBytes } from '../../shared/weights/manifest.ts'

/** Heartbeats as measure-lag writes them, of a deployment in which all is well unless changed. */

type Body = Omit<Heartbeat, 'format' | 'formatVersion'>

const proof = (at: string) => ({ at, outcome: 'passed', report: null, findings: 0 })

/** 42 seconds before the time at which `runCli` runs. */
export const beatAt = '2026-05-03T09:59:18.000Z'

export const tableBeat = (table: string, change: Partial<Body['tables'][number]> = {}): Body['tables'][number] => ({
  table,
  target: table,
  lagSeconds: 30,
  unknown: [],
  featureTime: '2026-05-03T09:58:48.000Z',
  quarantined: 0,
  oldestQuarantinedAt: null,
  ...change,
})

export const beat = async (
  store: BlobStore,
  change: {
    at?: string
    objects?: Partial<Body['objects']>
    tables?: Body['tables']
    proofs?: Partial<Body['proofs']>
  } = {},
): Promise<void> => {
  const { at = beatAt, objects, tables = [tableBeat('users')], proofs } = change
  await writeHeartbeat(store, {
    at,
    stage: 'prod',
    everySeconds: 60,
    objects: {
      lagSeconds: 0,
      unknown: [],
      pending: { count: 0, bytes: 0, oldest: null },
      queues: [
        { name: 'objects', messages: 0, oldestSeconds: null },
        { name: 'segments', messages: 0, oldestSeconds: null },
      ],
      deadLetters: 0,
      canaryAt: '2026-05-03T09:57:00.000Z',
      ...objects,
    },
    tables,
    proofs: {
      validate: proof('2026-05-03T08:00:00.000Z'),
      scrub: { ...proof('2026-05-03T06:00:00.000Z'), coverageDays: 11.2 },
      reconcile: proof('2026-05-03T09:00:00.000Z'),
      rows: [{ ...proof('2026-05-03T04:00:00.000Z'), table: 'users' }],
      ...proofs,
    },
  })
}

/** The copy of the configuration that the AWS side leaves in the replica, with its targets for the lag. */
export const copyConfig = async (store: BlobStore, rpo = { objectsMinutes: 15, rowsSeconds: 60 }): Promise<void> => {
  const config = {
    formatVersion: 1,
    source: { account: '111122223333', region: 'eu-west-1' },
    replica: { project: 'replica-project', bucket: 'replica', prefix: '' },
    buckets: [],
    tables: [],
    rpo,
    retention: { days: 30, mode: 'Unlocked' },
  }
  await store.create('config/0123456789abcdef.json', toBytes(config))
}

/** A replica in which nothing is wrong. */
export const healthyStore = async () => {
  const store = createMemoryBlobStore()
  await copyConfig(store)
  await beat(store)
  return store
}
