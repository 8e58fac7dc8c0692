import { once } from 'node:events'
import type { Output } from './context.ts'

/** Writes, and waits where the reader is slower than the writer. */
export const writeText = async (output: Output, text: string): Promise<void> => {
  if (!output.write(text)) await once(output, 'drain')
}

export type JsonStream = {
  add(entry: Record<string, unknown>): Promise<void>
  /** Ends the list and the object; nothing is written after it. */
  end(facts: Record<string, unknown>): Promise<void>
  /** True once something was written: the object has to be ended. */
  isOpen(): boolean
}

/** The one object of `--json` with a list too long to keep: `head`, then the list an entry a line, then the facts of `end`. */
export const createJsonStream = (output: Output, head: Record<string, unknown>, list: string): JsonStream => {
  let state: 'new' | 'open' | 'ended' = 'new'
  let entries = 0
  const open = async (): Promise<void> => {
    if (state !== 'new') return
    state = 'open'
    await writeText(output, `${JSON.stringify({ schema: 1, ...head }).slice(0, -1)},${JSON.stringify(list)}:[`)
  }
  return {
    add: async (entry) => {
      await open()
      if (state === 'ended') return
      entries += 1
      await writeText(output, `${entries === 1 ? '\n' : ',\n'}${JSON.stringify(entry)}`)
    },
    end: async (facts) => {
      await open()
      if (state === 'ended') return
      state = 'ended'
      await writeText(output, `\n],${JSON.stringify(facts).slice(1)}\n`)
    },
    isOpen: () => state === 'open',
  }
}
