import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseKeyText } from '../../cli/rows/key-text.ts'
import { traceRow } from '../../cli/trace/row.ts'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { createMemoryRowStore, type MemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { changeTraceId } from '../../shared/features/trace.ts'
import { traceIdOf } from '../../shared/weights/identity.ts'
import { toBytes } from '../../shared/weights/manifest.ts'
import { deletedName, failedName, objectManifestName, waitingName } from '../../shared/weights/names.ts'
import { applyPuts, type Put, rowsConfig, rowsTables, sequenceOf } from '../support/cli-rows.ts'
import { runCli } from '../support/cli.ts'
import { noise, writeObject, writePending, writeRelease } from '../support/replica.ts'

type Json = Record<string, unknown>
const parse = (text: string): Json => JSON.parse(text) as Json

describe('the trace of an object', () => {
  let store: MemoryBlobStore
  beforeEach(() => {
    store = createMemoryBlobStore()
  })
  const cli = (...args: string[]) => runCli(['trace', ...args], { store, columns: 80 })
  const stages = async (what: string): Promise<unknown[]> => {
    const { code, stdout } = await runCli(['trace', what, '--json'], { store })
    expect(code).toBe(0)
    return (parse(stdout)['stages'] as Json[]).map(({ stage, afterSeconds }) => [stage, afterSeconds])
  }
  const key = 'llama/1/w'
  const traceId = traceIdOf('models', key, 'v1')
  const plan = { key, planId: 'ab', plannedAt: '2026-05-01T10:00:04.500Z' }
  const write = (change = {}) => writeObject(store, { key, bytes: noise(70_000, 1), change: { traceId, ...change } })
  const failed = (state: 'refused' | 'superseded', id: string, change: Json = {}) =>
    store.create(
      failedName(state, id),
      toBytes({
        format: 'lifeboat/failed',
        formatVersion: '1.0',
        state,
        traceId: id,
        reason: 'not the bytes of the checksum',
        bucket: 'models',
        key,
        version: 'v1',
        at: '2026-05-01T10:03:00.000Z',
        ...change,
      }),
    )

  test('from the write to the release, with the time between', async () => {
    await writePending(store, plan)
    await writePending(store, { key: 'other', planId: 'cd', plannedAt: '2026-05-02T10:00:00Z' })
    const object = await write()
    await writeRelease(store, { model: 'llama', version: '1', files: [{ path: 'w', object }] })
    const other = await writeObject(store, { key: 'other', bytes: noise(10, 2) })
    await writeRelease(store, { model: 'other', version: '1', files: [{ path: 'w', object: other }] })
    const { code, stdout } = await cli(traceId)
    expect(code).toBe(0)
    expect(stdout).toBe(`\
s3://models/llama/1/w#v1
protected, 68.4 KiB, trace ${traceId}

time                      after  stage     what
2026-05-01T10:00:00.000Z         written   in the source
2026-05-01T10:00:04.500Z  +4.5s  planned   plan ab, 1 segment cut by fixture/1
2026-05-01T10:01:00.000Z   +56s  sealed    protected, checked against the
                                           source's CRC64NVME; plan
                                           ${object.manifest.planId}, sequence 1
2026-05-01T10:02:00.000Z    +1m  released  llama@1, protected, complete by exact
`)
    const json = parse((await cli(traceId, '--json')).stdout)
    expect(json).toMatchObject({
      schema: 1,
      traceId,
      state: 'protected',
      object: { bucket: 'models', key, version: 'v1', bytes: 70_000 },
      stages: [
        { stage: 'written', afterSeconds: null },
        { stage: 'planned', afterSeconds: 4.5, planId: 'ab', segments: 1 },
        { stage: 'sealed', afterSeconds: 55.5, manifest: object.name, verified: { algorithm: 'CRC64NVME' } },
        { stage: 'released', afterSeconds: 60, model: 'llama', version: '1' },
      ],
    })
    expect((await cli('s3://models/llama/1/w')).stdout).toBe(stdout)
  })

  test('a manifest without its plan is found by reading manifests', async () => {
    await write()
    expect(await stages(traceId)).toEqual([
      ['written', null],
      ['sealed', 60],
    ])
  })

  test('what it waits for, what was given up, refused and deleted', async () => {
    const object = await write({
      state: 'sealed',
      checksums: { source: [], verified: null, unverifiedReason: 'none kept' },
      release: { model: 'llama', version: '1', path: 'w' },
    })
    const cancelled = { format: 'lifeboat/cancelled', formatVersion: '1.0', cancelledAt: '2026-05-01T10:00:30.000Z' }
    await store.create(objectManifestName('models', key, 'v1', 'given-up'), toBytes(cancelled))
    const envelope = { formatVersion: '1.0', bucket: 'models' }
    const waiting = { format: 'lifeboat/waiting', ...envelope, model: 'llama', version: '1', marker: null }
    const reason = 'shard 2 is missing'
    await store.create(waitingName('llama', '1', 'aa'), toBytes({ ...waiting, reason, at: '2026-05-01T10:02:00.000Z' }))
    await store.create(
      waitingName('other', '1', 'bb'),
      toBytes({ ...waiting, model: 'other', reason, at: '2026-05-01T10:02:00.000Z' }),
    )
    await failed('superseded', traceId)
    const deletion = { format: 'lifeboat/deleted', ...envelope, traceId, key, version: 'v1' }
    await store.create(
      deletedName('models', key, 'marker'),
      toBytes({ ...deletion, deletion: 'Permanently Deleted', at: '2026-05-01T10:04:00.000Z' }),
    )
    expect(await stages(traceId)).toEqual([
      ['written', null],
      ['cancelled', 30],
      ['sealed', 30],
      ['waiting', 60],
      ['superseded', 60],
      ['deleted', 60],
    ])
    const { stdout } = await runCli(['trace', traceId], { store })
    expect(stdout).toContain(`sealed, unverified: none kept; plan ${object.manifest.planId}`)
    expect(stdout).toContain('llama@1: shard 2 is missing')
    expect(stdout).toContain('plan given-up was given up for another')
    expect(stdout).toContain('in the source (Permanently Deleted); the replica keeps it')
  })

  test('a URL means the newest version that is known, another one by its id or the beginning of it', async () => {
    const older = { bucket: 'models', key, version: 'abcdefgh-1', etag: 'e', lastModified: '2026-05-01T10:00:00.000Z' }
    await writeObject(store, { key, version: older.version, bytes: noise(10, 1), change: { source: older } })
    await writePending(store, { ...plan, version: 'next', lastModified: '2026-05-02T10:00:00.000Z' })
    const title = async (url: string): Promise<unknown> => (await cli(url)).stdout.split('\n').slice(0, 3)
    const next = traceIdOf('models', key, 'next')
    expect(await title(`s3://models/${key}`)).toEqual([
      `s3://models/${key}#next`,
      `pending, 4.9 KiB, trace ${next}`,
      'other versions: abcdefgh-1',
    ])
    for (const version of ['abcdefgh-1', 'abcdefgh'])
      expect(await title(`s3://models/${key}#${version}`)).toContain(`s3://models/${key}#abcdefgh-1`)
    expect(await cli(`s3://models/${key}#abcdefg`)).toMatchObject({ code: 4 })
    await writeObject(store, { key: 'odd#name', bytes: noise(10, 1) })
    expect(await title('s3://models/odd#name')).toContain('s3://models/odd#name#v1')
  })

  test('what was refused before there was a plan', async () => {
    await failed('refused', traceId)
    const { stdout } = await cli(`s3://models/${key}`)
    expect(stdout).toMatch(/^s3:\/\/models\/llama\/1\/w#v1\nrefused, trace .*\n/)
    expect((await cli(traceId)).stdout).toBe(stdout)
    const odd = 'cd'.repeat(16)
    await failed('refused', odd, { bucket: 'not/a bucket', reason: 'not configured' })
    expect((await cli(odd)).stdout).toMatch(/refused +not configured/)
    const event = 'ab'.repeat(16)
    await failed('superseded', event, { version: undefined, reason: 'gone before it was read' })
    expect((await cli(event)).stdout).toMatch(/superseded +gone before it was read/)
  })

  test.each([
    [['f'.repeat(32)], 4, '"lifeboat trace TABLE KEY"'],
    [['s3://models/nothing'], 4, '"lifeboat ls s3://models/" lists what there is'],
    [['s3://models/'], 2, 'expected a trace id (32 hex digits), s3://bucket/key[#versionId], or TABLE KEY'],
    [['F'.repeat(32)], 2, 'expected a trace id (32 hex digits)'],
  ])('%j ends with %i', async (args, expected, message) => {
    await write()
    const { code, stdout, stderr } = await cli(...args)
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' })
    expect(stderr).toContain(message)
  })
})

const item = (plan: string) => ({ user: { S: 'alice' }, at: { N: '17' }, plan: { S: plan } })

describe('the trace of a row', () => {
  const arn = rowsConfig.tables[0]!.streams[0]!.arn
  const story: Put[] = [
    { time: '2026-05-01T10:00:00Z', after: item('free') },
    { time: '2026-05-01T11:00:00Z', before: item('free'), after: item('paid') },
    { time: '2026-05-01T12:00:00Z', before: item('paid') },
  ]
  let dir: string
  let rows: MemoryRowStore
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lifeboat-trace-'))
    await writeFile(join(dir, 'lifeboat.yml'), JSON.stringify(rowsConfig))
    rows = createMemoryRowStore({ tables: rowsTables })
    await applyPuts(rows, story)
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))
  const cli = (...args: string[]) => runCli(['trace', ...args], { rows, cwd: dir, columns: 80 })

  test('its changes with the trace ids of the logs, newest last', async () => {
    const { code, stdout, stderr } = await cli('users', 'user=alice,at=17')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [first, second, third] = [1, 2, 3].map((position) => changeTraceId(arn, sequenceOf(position)))
    expect(stdout).toBe(`\
users user=S:alice,at=N:17: now deleted, 3 changes in the history

time                  change           before   trace
2026-05-01T10:00:00Z  1.40…0000000001  absent   ${first}
2026-05-01T11:00:00Z  1.40…0000000002  an item  ${second}
2026-05-01T12:00:00Z  1.40…0000000003  an item  ${third}
`)
    const json = parse((await cli('users', 'user=alice,at=17', '--json', '--limit', '1')).stdout)
    expect(json).toMatchObject({
      schema: 1,
      table: 'users',
      state: 'deleted',
      total: 3,
      changes: [
        { by: 'stream', epoch: 1, sequenceNumber: sequenceOf(3), traceId: third, beforeItem: { plan: { S: 'paid' } } },
      ],
    })
    expect((await cli('users', 'user=alice,at=17', '--limit', '2')).stdout).toContain('the last 2 of 3')
  })

  test('the stream of a change is that of its epoch', async () => {
    const streams = [
      { arn: arn.replace('2026-01-01', '2025-01-01'), epoch: 0 },
      { arn, epoch: 1 },
    ]
    const place = { table: 'users', target: 'users-copy', streams }
    const readings = parseKeyText('user=alice,at=17', 2)
    const { json } = await traceRow(rows, place, readings, { limit: 1, width: undefined })
    expect(json['changes']).toMatchObject([{ traceId: changeTraceId(arn, sequenceOf(3)) }])
  })

  test('without a configuration no trace id is told', async () => {
    const { stdout } = await cli('users-copy', 'user=alice,at=17', '--instance', 'my-project/features', '--json')
    expect(parse(stdout)).toMatchObject({ changes: [{ traceId: null }, { traceId: null }, { traceId: null }] })
  })

  test.each([
    [['users', 'user=bob,at=1'], 4, 'the replica has never seen user=S:bob,at=S:1 in users'],
    [['nosuch', 'user=bob'], 4, 'which names users, flags'],
    [['users', 'bob'], 2, 'expected NAME=VALUE'],
  ])('%j ends with %i', async (args, expected, message) => {
    const { code, stdout, stderr } = await cli(...args)
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' })
    expect(stderr).toContain(message)
  })
})
