import { sha256Hex } from './codec.ts'
import type { WeightsDeps } from './deps.ts'
import { toBytes } from './manifest.ts'

/**
 * Writes the configuration into the replica, once for each content, so that a restore without AWS can see what was
 * replicated by which rules: `config/<first 16 hex digits of its SHA-256>.json`.
 */
export const createConfigCopier = ({ config, store }: Pick<WeightsDeps, 'config' | 'store'>): (() => Promise<void>) => {
  let copied = false
  return async () => {
    if (copied) return
    const bytes = toBytes(config)
    await store.create(`config/${sha256Hex(bytes).slice(0, 16)}.json`, bytes, { contentType: 'application/json' })
    copied = true
  }
}
