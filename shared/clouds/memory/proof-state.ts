import type { ProofState } from '../../proof/proof-state.ts'
import { copyOf } from './copy-of.ts'

export const createMemoryProofState = (): ProofState => {
  const records = new Map<string, { value: unknown; version: number }>()
  return {
    read: async (name) => {
      const record = records.get(name)
      return record && copyOf(record)
    },
    write: async (name, value, expected) => {
      if (records.get(name)?.version !== expected) return false
      records.set(name, copyOf({ value, version: (expected ?? 0) + 1 }))
      return true
    },
  }
}
