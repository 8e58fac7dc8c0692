import { Writable } from 'node:stream'
import type { CliContext, OpenedRows, RowsPlace } from '../../cli/context.ts'
import { run } from '../../cli/program.ts'
import type { ItemSource } from '../../shared/features/deps.ts'
import type { RowStore } from '../../shared/features/row-store.ts'
import type { BlobStore } from '../../shared/ports.ts'

export type CliRun = { code: number; stdout: string; stderr: string }

const collector = (): { stream: Writable; text: () => string } => {
  const parts: string[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      parts.push(String(chunk))
      done()
    },
  })
  return { stream, text: () => parts.join('') }
}

/** Runs one command line in this process over a store in memory, at a fixed time. */
export const runCli = async (
  args: readonly string[],
  options: {
    store?: BlobStore
    cwd?: string
    now?: string
    signal?: AbortSignal
    openReplica?: CliContext['openReplica']
    rows?: RowStore
    openRows?: CliContext['openRows']
    /** The source of rows. */
    items?: ItemSource
    openSource?: CliContext['openSource']
    openReplicaFacts?: CliContext['openReplicaFacts']
    /** Called for every wait, in which only the command's clock goes on. */
    onWait?: (ms: number) => Promise<void>
    /** Makes stdout a terminal of so many columns. */
    columns?: number
  } = {},
): Promise<CliRun> => {
  const { store, cwd = '/nowhere', now = '2026-05-03T10:00:00Z', signal = new AbortController().signal } = options
  const stdout = collector()
  const stderr = collector()
  const openStore = async (): Promise<{ store: BlobStore; url: string }> => {
    if (!store) throw new Error('this test has no replica')
    return { store, url: 'gs://replica/' }
  }
  const openRows = async ({ projectId, instanceId }: RowsPlace): Promise<OpenedRows> => {
    if (!options.rows) throw new Error(`this test has no rows at ${projectId}/${instanceId}`)
    return { rows: options.rows, close: async () => undefined }
  }
  const { columns } = options
  let nowMs = Date.parse(now)
  const code = await run(args, {
    stdout: columns === undefined ? stdout.stream : Object.assign(stdout.stream, { isTTY: true, columns }),
    stderr: stderr.stream,
    cwd,
    env: {},
    now: () => nowMs,
    signal,
    openReplica: options.openReplica ?? openStore,
    openRows: options.openRows ?? openRows,
    openItems: async ({ region }) => {
      if (!options.items) throw new Error(`this test has no tables in ${region}`)
      return { source: options.items, close: () => undefined }
    },
    openSource: options.openSource ?? (() => Promise.reject(new Error('this test has no source'))),
    openReplicaFacts:
      options.openReplicaFacts ?? (() => Promise.reject(new Error('this test has no replica to look at'))),
    wait: async (ms) => {
      nowMs += ms
      await options.onWait?.(ms)
    },
  })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}
