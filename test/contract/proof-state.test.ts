import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProofState } from '../../shared/clouds/aws/proof-state.ts'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import type { ProofState } from '../../shared/proof/proof-state.ts'
import { type LedgerTables, startLedgerTables } from '../support/ledger-table.ts'

let tables: LedgerTables
beforeAll(async () => {
  tables = await startLedgerTables()
})
afterAll(() => tables?.close())

const targets: [string, () => Promise<ProofState>][] = [
  ['in memory', async () => createMemoryProofState()],
  ['on DynamoDB', async () => createProofState(tables.client, await tables.create())],
]

describe.each(targets)('proof state %s', (_name, open) => {
  it('keeps what was written, each name for itself', async () => {
    const state = await open()
    expect(await state.read('validate')).toBeUndefined()
    expect(await state.write('validate', { cursor: 'a', counts: { chunks: 1 } }, undefined)).toBe(true)
    expect(await state.read('validate')).toEqual({ value: { cursor: 'a', counts: { chunks: 1 } }, version: 1 })
    expect(await state.read('scrub')).toBeUndefined()
  })

  it('lets one of two writers win', async () => {
    const state = await open()
    const first = await Promise.all([1, 2, 3].map((value) => state.write('lag', { value }, undefined)))
    expect(first.filter(Boolean)).toHaveLength(1)
    expect(await state.write('lag', { value: 4 }, 1)).toBe(true)
    expect(await state.write('lag', { value: 5 }, 1)).toBe(false)
    expect(await state.write('lag', { value: 6 }, undefined)).toBe(false)
    expect(await state.read('lag')).toEqual({ value: { value: 4 }, version: 2 })
  })
})
