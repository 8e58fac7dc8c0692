import type { Quarantine, Quarantined } from '../../features/deps.ts'
import { givenUpFolder, quarantineFolder, quarantineName, redrivenName } from '../../features/quarantine-name.ts'

/** The port with what only a test may see: every change by its name, those that were redriven too. */
export type MemoryQuarantine = Quarantine & {
  readonly waiting: ReadonlyMap<string, Quarantined>
  readonly redriven: ReadonlyMap<string, Quarantined>
  /** What the event source does with a batch that it gives up. */
  giveUp(name: string, records: unknown[]): void
}

/** Keeps the changes that it is given, by reference: what is put must not be changed afterwards. */
export const createMemoryQuarantine = (): MemoryQuarantine => {
  const waiting = new Map<string, Quarantined>()
  const redriven = new Map<string, Quarantined>()
  const batches = new Map<string, unknown[]>()
  return {
    waiting,
    redriven,
    giveUp: (name, records) => void batches.set(givenUpFolder + name, records),
    givenUp: async function* () {
      for (const [name, records] of batches) yield { name, records }
    },
    put: async (change) => void waiting.set(quarantineName(change), change),
    list: async function* (table) {
      const folder = quarantineFolder(table)
      const names = [...waiting.keys()].filter((name) => name.startsWith(folder)).sort()
      for (const name of names) {
        const change = waiting.get(name)
        if (change) yield { name, change }
      }
    },
    done: async (name) => {
      batches.delete(name)
      const change = waiting.get(name)
      if (!change) return
      redriven.set(redrivenName(name), change)
      waiting.delete(name)
    },
  }
}
