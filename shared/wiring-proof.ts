import { createProofState } from './clouds/aws/proof-state.ts'
import { createRepairer } from './proof/repair.ts'
import type { ScrubRunDeps } from './proof/scrub-run.ts'
import type { ValidateRunDeps } from './proof/validate-run.ts'
import { wireWeights } from './wiring.ts'

export type ProofWiring = { open: () => ValidateRunDeps & ScrubRunDeps; flush: () => void }

/** Builds what a function that proves the objects of the replica needs, once; `open` is for one call. */
export const wireProof = (): ProofWiring => {
  const { deps, env, dynamodb, flush } = wireWeights()
  const { config, store, clock, random, telemetry, source, chunks } = deps
  const { objects, segments, digests, releases, chain } = deps
  const state = createProofState(dynamodb, env.ledgerTable)
  return {
    open: () => ({
      config,
      store,
      clock,
      random,
      telemetry,
      source,
      chunks,
      state,
      ledger: { objects, segments, digests, releases, chain },
      repairer: createRepairer(deps),
    }),
    flush,
  }
}
