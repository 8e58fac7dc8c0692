import { type Client, credentials, type ServiceError } from '@grpc/grpc-js'
import { loadProtocol } from '../../local/bigtable/protocol.ts'
import { forEachBounded } from '../../shared/bounded.ts'
import { createBigtable, requestTimeoutMs } from '../../shared/clouds/gcp/bigtable-client.ts'
import { rowMutations, versionFilter } from '../../shared/clouds/gcp/bigtable-write.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryQuarantine } from '../../shared/clouds/memory/quarantine.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { rowsInFlight } from '../../shared/features/apply.ts'
import { applyBatch } from '../../shared/features/apply-batch.ts'
import { type Change, parseChange, ruleOfStream } from '../../shared/features/change.ts'
import type { RowsDeps } from '../../shared/features/deps.ts'
import { rowWrite } from '../../shared/features/write.ts'
import { mutationMessages } from '../../test/support/bigtable.ts'
import { arn, config, table } from './load.ts'
import type { RowsServer } from './servers.ts'

/** Programs that bring the same changes into Bigtable, or a part of that. */

/** `prepare` is not timed; what it answers is, and answers how many rows it wrote. */
export type Contestant = {
  name: string
  prepare(batches: unknown[][]): () => Promise<number>
  close(): Promise<void>
}

export const applyName = 'apply-changes'
const at = { projectId: 'p', instanceId: 'lifeboat', token: 'lifeboat-writer' }
const ample = { remainingMs: () => 900_000 }

/** The function's own code, its queue and clock apart. Throws where anything is not applied. */
export const openApply = (
  server: RowsServer,
): { apply: (records: unknown[]) => Promise<number>; close: () => Promise<void> } => {
  const telemetry = createMemoryTelemetry()
  const rows = createBigtableRowStore({ ...at, endpoint: server.url })
  const items = createMemoryItems({ [table]: { partition: 'pk' } })
  const random = { next: Math.random, hex: (bytes: number) => 'ab'.repeat(bytes) }
  const clock = { now: () => Date.now() }
  const deps: RowsDeps = { config, rows, source: items, quarantine: createMemoryQuarantine(), telemetry, clock, random }
  return {
    apply: async (records) => {
      const before = telemetry.total('RowsApplied')
      const { batchItemFailures } = await applyBatch(deps, records, ample)
      const changes = telemetry.total('RowsApplied') + telemetry.total('RowsStale')
      if (batchItemFailures.length > 0 || telemetry.total('ChangesQuarantined') > 0 || Number.isNaN(changes))
        throw new Error(`a batch of the bench was not applied: ${JSON.stringify(telemetry.lines.at(-1))}`)
      return telemetry.total('RowsApplied') - before
    },
    close: () => rows.close(),
  }
}

export const applyChanges = (server: RowsServer): Contestant => {
  const { apply, close } = openApply(server)
  return {
    name: applyName,
    prepare: (batches) => async () => {
      let rows = 0
      for (const batch of batches) rows += await apply(batch)
      return rows
    },
    close,
  }
}

/** The requests that apply-changes makes of these batches: the last change of each key of a batch. */
const requestsOf = (batches: unknown[][]): object[] => {
  const rule = ruleOfStream(config, arn)
  const tableName = `projects/${at.projectId}/instances/${at.instanceId}/tables/${table}`
  return batches.flatMap((batch) => {
    const last = new Map<string, Change>()
    for (const record of batch) {
      const change = parseChange(record, rule, { partition: 'pk' })
      last.set(change.rowKey.toString('latin1'), change)
    }
    return Array.from(last.values(), (change) => ({
      tableName,
      rowKey: change.rowKey,
      predicateFilter: versionFilter({ startValueClosed: Buffer.from(change.version) }),
      falseMutations: mutationMessages(rowMutations(rowWrite(rule, { ...change, item: change.after })), change.time),
    }))
  })
}

const loop = (call: (request: object) => Promise<unknown>, batches: unknown[][]): (() => Promise<number>) => {
  const requests = requestsOf(batches)
  return async () => {
    await forEachBounded(requests, rowsInFlight, async (request) => {
      await call(request)
    })
    return requests.length
  }
}

/** Requests made beforehand, sent by the SDK's generated client. */
export const generatedClient = (server: RowsServer): Contestant => {
  const bigtable = createBigtable({ ...at, endpoint: server.url })
  return {
    name: 'bare calls: generated client',
    prepare: (batches) =>
      loop((request) => bigtable.client.checkAndMutateRow(request, bigtable.callOptions(requestTimeoutMs)), batches),
    close: () => bigtable.client.close(),
  }
}

type Method = (request: object, callback: (error: ServiceError | null, answer: unknown) => void) => void

/** Requests made beforehand, sent by grpc-js with nothing over it: no metadata, no deadline. */
export const bareGrpc = (server: RowsServer): Contestant => {
  const client = new (loadProtocol().clients.data)(server.host, credentials.createInsecure()) as unknown as Client &
    Record<'CheckAndMutateRow', Method>
  const call = (request: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      client.CheckAndMutateRow(request, (error, answer) => (error ? reject(error) : resolve(answer)))
    })
  return { name: 'bare calls: grpc-js', prepare: (batches) => loop(call, batches), close: async () => client.close() }
}
