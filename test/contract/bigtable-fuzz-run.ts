import { type BigtableServer, startBigtable } from '../../local/bigtable/server.ts'
import type { Rules } from '../../local/bigtable/engine.ts'
import { startEmulator } from '../support/bigtable.ts'
import { inFolder } from '../support/contract-target.ts'
import { fuzzBigtable, type FuzzResult } from './bigtable-fuzz.ts'

type Side = { host: string; close(): Promise<void> }

const startEmbedded = async (rules?: Partial<Rules>): Promise<Side> => {
  const server: BigtableServer = await inFolder((dir) => startBigtable({ dir, ...(rules && { rules }) }))
  return { host: `127.0.0.1:${server.port}`, close: () => server.close() }
}

/** The same operations on two fresh servers, both closed again afterwards. */
const runOn = async (
  starts: readonly [() => Promise<Side>, () => Promise<Side>],
  run: { seed: number; operations: number },
): Promise<FuzzResult> => {
  const left = await starts[0]()
  const right = await starts[1]()
  try {
    return await fuzzBigtable({ hosts: [left.host, right.host], ...run })
  } finally {
    await left.close()
    await right.close()
  }
}

/** The reference: Google's emulator where there is one, or else the embedded server itself. */
const referenceOf = (file: string | undefined): (() => Promise<Side>) =>
  file === undefined ? startEmbedded : () => startEmulator(file)

/** The reference against itself: what differs here is the fuzzer's own doing. */
export const runControl = (file: string | undefined, run: { seed: number; operations: number }): Promise<FuzzResult> =>
  runOn([referenceOf(file), referenceOf(file)], run)

/** The embedded server, with rules of it replaced where any are given, against the reference. */
export const runAgainstReference = (
  file: string | undefined,
  run: { seed: number; operations: number; rules?: Partial<Rules> },
): Promise<FuzzResult> => runOn([referenceOf(file), () => startEmbedded(run.rules)], run)
