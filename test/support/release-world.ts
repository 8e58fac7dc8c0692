import { createHash } from 'node:crypto'
import type { PutOptions } from '../../shared/clouds/memory/source.ts'
import type { ReleaseManifest } from '../../shared/weights/manifest.ts'
import { noise, type World } from './weights-world.ts'

/** Publishing the files of one release, and what became of it. */

export const MINUTE_MS = 60_000
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
export const prefix = 'llama/v1/'

export const put = (world: World, path: string, body: Uint8Array, options: PutOptions = {}) =>
  world.publish(prefix + path, body, options)
export const membersOf = (release: ReleaseManifest | undefined) =>
  release?.members.map(({ path, version }) => `${path} ${version}`)
/** In the order in which they were found. */
export const reasons = async (world: World): Promise<string[]> =>
  (await world.waits()).toSorted((a, b) => (a.at < b.at ? -1 : 1)).map(({ reason }) => reason)
export const shard = (index: number): string => `model-0000${index}-of-00002.safetensors`
export const index = json({ metadata: {}, weight_map: { a: shard(1), b: shard(2), c: shard(1) } })
/** What is published later has a later second. */
export const step = (world: World): void => world.tick(5000)
/** Sweeps after all that waits for time has had it. */
export const settle = async (world: World, minutes = 2): Promise<void> => {
  for (let minute = 0; minute < minutes; minute += 1) {
    world.tick(MINUTE_MS)
    await world.sweep()
    await world.run()
  }
}

export const publishShards = (world: World, seed: number): (string | undefined)[] =>
  [1, 2].map((number) => put(world, shard(number), noise(50 + number, seed)).versionId)
