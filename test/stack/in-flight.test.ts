import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { ledgerOrderOf } from '../../shared/clouds/aws/ledger-stream.ts'
import { collapseCounter } from '../../shared/clouds/aws/segment-ledger.ts'
import { FormatVersionError } from '../../shared/errors.ts'
import { readProofs } from '../../shared/proof/last-proofs.ts'
import { readLagState } from '../../shared/proof/lag-state.ts'
import { commitObject } from '../../shared/weights/commit.ts'
import {
  failedSchema,
  type ObjectManifest,
  objectManifestSchema,
  parseRecord,
  releaseManifestSchema,
} from '../../shared/weights/manifest.ts'
import { chunksOfParts, readChunk } from '../../shared/weights/read.ts'
import { evaluateRelease } from '../../shared/weights/release.ts'
import { bodies, type InFlight, type LedgerItem, openInFlight } from '../support/in-flight.ts'
import { ample } from '../support/weights-world.ts'

/** What version 1.0 left in flight, in ledger, queues, stream and replica: every later version must finish it. */

const folder = fileURLToPath(new URL('../fixtures/in-flight-1.0', import.meta.url))
const read = async <T>(name: keyof InFlight): Promise<T> =>
  JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')) as T
const fixture: InFlight = {
  ledger: await read('ledger'),
  objectsQueue: await read('objectsQueue'),
  segmentsQueue: await read('segmentsQueue'),
  commitStream: await read('commitStream'),
}

let dir: string
let it: Awaited<ReturnType<typeof openInFlight>>
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-in-flight-replica-'))
  await cp(join(folder, 'replica'), dir, { recursive: true })
  it = await openInFlight(dir)
})
afterEach(async () => {
  await it.close()
  await rm(dir, { recursive: true })
})

/** What the committer does with a record. */
const commitRecord = async (record: InFlight['commitStream'][number]): Promise<void> => {
  const { deps } = it.world
  const order = ledgerOrderOf(record)
  if (order?.kind === 'release') {
    const row = await deps.releases.get(order.bucket, order.prefix)
    if (row) await evaluateRelease(deps, order.bucket, row)
  } else if (order?.kind === 'counter')
    await collapseCounter(it.client, it.table, order.traceId, order.planId, order.shard)
  else if (order) await commitObject(deps, order.traceId, ample)
}

/** Handles queues, stream and sweeps until nothing is pending; answers what failed. */
const finish = async (inFlight: InFlight): Promise<unknown[]> => {
  const { world } = it
  world.objectsQueue.messages.push(...inFlight.objectsQueue)
  world.workQueue.messages.push(...inFlight.segmentsQueue)
  const failures: unknown[] = []
  for (const record of inFlight.commitStream) await commitRecord(record).catch((error: unknown) => failures.push(error))
  for (let round = 0; round < 10; round += 1) {
    failures.push(...(await world.run()))
    world.tick(61_000)
    await world.sweep()
    if (world.workQueue.messages.length === 0 && (await toArray(world.deps.objects.pending())).length === 0) break
  }
  return failures
}

const manifests = async (): Promise<ObjectManifest[]> => {
  const { store } = it.world.deps
  const found: ObjectManifest[] = []
  for await (const { name } of store.list('objects/'))
    found.push(parseRecord(objectManifestSchema, name, (await store.read(name)) ?? new Uint8Array()))
  return found
}

const contentOf = async (manifest: ObjectManifest): Promise<Buffer> => {
  const chunks: Uint8Array[] = []
  for await (const { ref } of chunksOfParts(it.world.deps.store, manifest.parts))
    chunks.push(await readChunk(it.world.deps.store, ref))
  return Buffer.concat(chunks)
}

const expectAllProtected = async (): Promise<void> => {
  const found = await manifests()
  expect(new Set(found.map(({ source }) => source.key))).toEqual(new Set(Object.keys(bodies)))
  for (const manifest of found) {
    const { key } = manifest.source
    const isSame = (await contentOf(manifest)).equals(bodies[key]!.body)
    expect({ key, state: manifest.state, isSame }).toEqual({ key, state: 'protected', isSame: true })
  }
  // The one that a check wanted anew has its second plan beside the first.
  expect(found.filter(({ source }) => source.key === 'repaired.bin').length).toBe(2)
  const { store } = it.world.deps
  const releases = await toArray(store.list('releases/'))
  expect(releases.map(({ name }) => name)).toEqual([expect.stringMatching(/^releases\/tiny\/v1\./)])
  const name = releases[0]?.name ?? ''
  const release = parseRecord(releaseManifestSchema, name, (await store.read(name)) ?? new Uint8Array())
  expect(release.members.map(({ path }) => path).sort()).toEqual(['config.json', 'model.bin'])
  expect(await toArray(store.list('failed/'))).toEqual([])
}

/** Every kind of item that the ledger has: what stands before the first # of the key, and the sort key without ids. */
const kindOf = ({ pk, sk }: LedgerItem): string => {
  const [kind = ''] = pk?.S?.split('#') ?? []
  const [sort = ''] = sk?.S?.split('#') ?? []
  return `${kind} ${/^[0-9a-f]{16,}$/.test(sort) ? (kind === 's' ? 'segment' : 'member') : sort}`
}

const novel = (text: string): string =>
  JSON.stringify({ ...(JSON.parse(text) as object), novelty: { of: 'a newer version' } })
const newer = (text: string): string => JSON.stringify({ ...(JSON.parse(text) as object), lifeboat: 2 })
const planned = (text: string): boolean => text.includes('"lifeboat"')
const objectItems = (all: readonly LedgerItem[]): LedgerItem[] => all.filter((item) => kindOf(item) === 'o object')
const byKey = (a: LedgerItem, b: LedgerItem): number => ((a['pk']?.S ?? '') < (b['pk']?.S ?? '') ? -1 : 1)

describe('the work in flight of version 1.0', () => {
  test('has items of every kind, objects in every phase, messages of every kind, and orders of every kind', () => {
    expect([...new Set(fixture.ledger.map(kindOf))].sort()).toEqual(
      [
        'c chunk',
        'h chain',
        'm member',
        'm release',
        'm request',
        'o left',
        'o object',
        'proof record',
        's digest',
        's segment',
      ].sort(),
    )
    const objects = fixture.ledger.filter((item) => kindOf(item) === 'o object')
    const phases = objects.map(({ state, phase, left }) => `${state?.S} ${phase?.S}${left?.N === '0' ? ' done' : ''}`)
    expect(new Set(phases)).toEqual(
      new Set(['copying copy', 'copying copy done', 'copying digest', 'protected copy done']),
    )
    const messages = fixture.segmentsQueue.map(
      (text) => JSON.parse(text) as { kind: string; done?: object; resume?: object },
    )
    expect(
      new Set(messages.map(({ kind, done, resume }) => `${kind}${done ? ' cut' : ''}${resume ? ' resumed' : ''}`)),
    ).toEqual(new Set(['segment', 'segment cut', 'digest', 'digest resumed']))
    expect(new Set(fixture.commitStream.map((record) => ledgerOrderOf(record)?.kind))).toEqual(
      new Set(['object', 'counter', 'release']),
    )
  })

  test('is finished: everything is protected, with the bytes of its source', async () => {
    await it.load(fixture.ledger)
    expect(await finish(fixture)).toEqual([])
    await expectAllProtected()
  })

  test('is finished where the stream has lost its records, too', async () => {
    await it.load(fixture.ledger)
    expect(await finish({ ...fixture, commitStream: [] })).toEqual([])
    await expectAllProtected()
  })

  test('is finished where queues have lost their messages: the sweep sends what the ledger knows', async () => {
    await it.load(fixture.ledger)
    const [event = ''] = fixture.objectsQueue
    it.world.tick(3_600_000)
    await finish({ ...fixture, objectsQueue: [event], segmentsQueue: [], commitStream: [] })
    const keys = new Set((await manifests()).map(({ source }) => source.key))
    expect([...keys].sort()).toEqual(
      Object.keys(bodies)
        .filter((key) => key !== 'asked.bin')
        .sort(),
    )
  })

  test('with unknown fields of a newer minor version is finished all the same', async () => {
    await it.load(
      fixture.ledger.map((item) => ({
        ...item,
        novelty: { S: 'x' },
        ...(item['row']?.S !== undefined && { row: { S: novel(item['row'].S) } }),
      })),
    )
    const commitStream = fixture.commitStream.map((record) => ({ ...record, novelty: 1 }))
    const failures = await finish({
      ledger: [],
      objectsQueue: fixture.objectsQueue.map(novel),
      segmentsQueue: fixture.segmentsQueue.map(novel),
      commitStream,
    })
    expect(failures).toEqual([])
    await expectAllProtected()
  })

  test('what the last measurements and checks left is read', async () => {
    await it.load(fixture.ledger)
    const { value, version } = await readLagState(it.state)
    expect(version).toBe(1)
    expect(value).toMatchObject({
      objects: { 's3://models/canary': { waiting: [{ traceId: 't', at: 1 }], writtenAt: 2, protectedAt: 1 } },
      tables: { users: { streamArn: 'arn', shards: { 'shardId-1': 3 }, next: 4, featureTime: 5 } },
    })
    expect((await readProofs(it.state, [])).validate).toEqual({
      at: '2026-01-01T00:01:00.000Z',
      outcome: 'passed',
      report: 'reports/validate/x.json',
      findings: 0,
    })
  })
})

describe('a newer major version', () => {
  test('of messages is set aside with what it said, and nothing is guessed', async () => {
    await it.load(fixture.ledger)
    const before = await manifests()
    const { objectsQueue, workQueue, run, deps } = it.world
    objectsQueue.messages.push(...fixture.objectsQueue.filter(planned).map(newer))
    workQueue.messages.push(...fixture.segmentsQueue.map(newer))
    expect(await run()).toEqual([])
    const failed = await toArray(deps.store.list('failed/quarantined/'))
    expect(failed.length).toBe(fixture.objectsQueue.filter(planned).length + fixture.segmentsQueue.length)
    const record = parseRecord(
      failedSchema,
      failed[0]!.name,
      (await deps.store.read(failed[0]!.name)) ?? new Uint8Array(),
    )
    expect(record.detail).toContain('"lifeboat":2')
    expect(await manifests()).toEqual(before)
  })

  test('of ledger items is refused and left as it is', async () => {
    const items = fixture.ledger.map((item) => ({ ...item, v: { N: '2' } }))
    await it.load(items)
    const failures = await finish({ ...fixture, ledger: [], objectsQueue: [] }).catch((error: unknown) => [error])
    expect(failures.length).toBeGreaterThan(0)
    for (const error of failures) expect(error).toBeInstanceOf(FormatVersionError)
    expect(objectItems(await it.items()).sort(byKey)).toEqual(objectItems(items).sort(byKey))
  })

  test('of chunk records is not believed: the body in the replica is compared', async () => {
    const chunks = fixture.ledger.filter((item) => kindOf(item) === 'c chunk')
    await it.load(chunks.map((item) => ({ ...item, v: { N: '2' } })))
    for (const { pk } of chunks) expect(await it.world.deps.chunks.lookup(pk?.S?.slice(2) ?? '')).toBeUndefined()
  })
})
