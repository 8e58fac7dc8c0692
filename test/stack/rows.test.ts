import { sample } from 'fast-check'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { newestReport } from '../../shared/proof/report.ts'
import { itemKeyOf } from '../../shared/features/change.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { keyOf, names, type RowsStack, startRowsStack, storable, table } from '../support/rows-stack.ts'
import { until } from '../support/stack.ts'

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-rows-'))

let it: RowsStack
beforeAll(async () => {
  it = await startRowsStack(dir)
}, 180_000)
afterAll(async () => {
  await it?.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('items of every type, changed and deleted, read back equal', async () => {
  const items = sample(storable, { seed: 7, numRuns: 200 })
  for (const [index, item] of items.entries()) await it.put({ ...item, ...keyOf(`p${index % 9}`, index) })
  for (let index = 0; index < 60; index += 1)
    await it.put({ ...items[199 - index]!, ...keyOf(`p${index % 9}`, index), changed: { BOOL: true } })
  for (let index = 40; index < 80; index += 1) await it.remove(keyOf(`p${index % 9}`, index))
  await it.untilEqual()
  expect((await it.sourceItems()).size).toBe(160)
  expect(it.total('RowsApplied')).toBeGreaterThanOrEqual(160)
  const [deleted] = await it.rows.read(table, [encodeRowKey(itemKeyOf(keyOf('p4', 40), names))])
  expect([deleted?.marker?.tombstone, deleted?.cells.size]).toEqual([true, 0])
  expect(it.total('RowLagSeconds')).toBeGreaterThan(0)
}, 120_000)

test('an item that expires goes, and is counted apart', async () => {
  await it.put({ ...keyOf('ttl', 1), expiresAt: { N: String(Math.floor(Date.now() / 1000) - 60) } })
  await fetch(`${it.stack.clouds.endpoints.dynamodb}/_lifeboat/sweep`, { method: 'POST' })
  await until(async () => it.total('RowsDeletedByTtl') === 1, 'a row that expired')
  await it.untilEqual()
  const [gone] = await it.rows.read(table, [encodeRowKey(itemKeyOf(keyOf('ttl', 1), names))])
  expect(gone?.marker?.tombstone).toBe(true)
}, 120_000)

test('a row that was damaged is found by the comparison, reported and made good', async () => {
  const item = { ...keyOf('damaged', 1), value: { S: 'right' } }
  await it.put(item)
  await it.untilEqual()
  const rowKey = encodeRowKey(itemKeyOf(item, names))
  const [row] = await it.rows.read(table, [rowKey])
  const cells = new Map([...row!.cells, ['value', Buffer.from('Swrong')]])
  expect(await it.rows.replaceIf(table, { key: rowKey, cells, marker: row!.marker! }, row!.marker!.version)).toBe(true)
  const url = `${it.stack.runner().url}/2015-03-31/functions/lifeboat-local-compareRows/invocations`
  const compare = async (mode: string): Promise<Record<string, { outcome: string; reportName: string }>> => {
    const body = JSON.stringify({ lifeboat: 'compare-rows', table, mode })
    return (await fetch(url, { method: 'POST', body })).json() as ReturnType<typeof compare>
  }
  const { [table]: checked } = await compare('recent')
  expect(checked).toMatchObject({ outcome: 'done' })
  const store = createGcsBlobStore({
    storage: createStorage({
      projectId: 'lifeboat-local',
      endpoint: it.stack.clouds.endpoints.gcs,
      token: 'lifeboat-restorer',
    }),
    bucket: 'replica',
    prefix: '',
  })
  const newest = await newestReport(store, 'rows')
  expect(newest).toMatchObject({
    name: checked!.reportName,
    report: { outcome: 'failed', findingsTotal: 1, findings: [{ kind: 'row-changed', repaired: 'yes' }] },
  })
  expect(await it.differences()).toEqual([])
  expect((await compare('full'))[table]).toMatchObject({ outcome: 'done' })
  expect((await newestReport(store, 'rows'))?.report).toMatchObject({ outcome: 'passed', scope: table })
}, 300_000)

test('while Bigtable is down changes wait, and none is quarantined', async () => {
  await it.stack.clouds.kill('bigtable')
  for (let index = 0; index < 30; index += 1) await it.put({ ...keyOf('outage', index), value: { S: `v${index}` } })
  await sleep(10_000)
  expect(await toArray(it.quarantine.list())).toEqual([])
  await it.stack.clouds.restart('bigtable')
  await it.untilEqual()
  expect(await toArray(it.quarantine.list())).toEqual([])
  expect((await it.replicaItems()).size).toBeGreaterThanOrEqual(190)
}, 180_000)

test('changes of an unknown stream are kept whole, and redriven once it is configured', async () => {
  const configured = readFileSync(it.stack.functionsConfigFile, 'utf8')
  const before = await it.replicaItems()
  writeFileSync(it.stack.functionsConfigFile, JSON.stringify({ ...JSON.parse(configured), tables: [] }))
  await it.stack.restartRunner()
  for (let index = 0; index < 10; index += 1) await it.put({ ...keyOf('poison', index), value: { N: `${index}e100` } })
  await until(async () => (await toArray(it.quarantine.list())).length === 10, '10 quarantined changes')
  expect(await toArray(it.quarantine.list('another'))).toEqual([])
  const [kept] = await toArray(it.quarantine.list(table))
  expect(kept!.change.record).toMatchObject({ eventName: 'INSERT', dynamodb: { Keys: { pk: { S: 'poison' } } } })
  expect(await it.replicaItems()).toEqual(before)
  expect(it.total('ChangesQuarantined')).toBeGreaterThanOrEqual(10)

  writeFileSync(it.stack.functionsConfigFile, configured)
  await it.stack.restartRunner()
  const url = `${it.stack.runner().url}/2015-03-31/functions/lifeboat-local-redrive/invocations`
  const redrive = async (payload: object): Promise<unknown> =>
    (await fetch(url, { method: 'POST', body: JSON.stringify(payload) })).json()
  expect(await redrive({ lifeboat: 'redrive', table })).toEqual({
    redriven: 10,
    failures: 0,
    failed: [],
    isComplete: true,
  })
  expect(await it.differences()).toEqual([])
  expect(await toArray(it.quarantine.list())).toEqual([])
  expect(await redrive({ lifeboat: 'redrive' })).toMatchObject({ redriven: 0 })
  expect(await redrive({ lifeboat: 'other' })).toMatchObject({ errorType: 'InvalidInputError' })
}, 180_000)
