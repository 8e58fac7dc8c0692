import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import type { ProofState } from '../../shared/proof/proof-state.ts'
import { createRepairer } from '../../shared/proof/repair.ts'
import { type Report, reportSchema } from '../../shared/proof/report.ts'
import type { ScrubRunDeps } from '../../shared/proof/scrub-run.ts'
import type { ValidateRunDeps } from '../../shared/proof/validate-run.ts'
import { encodeBodyHeader } from '../../shared/weights/body.ts'
import { encodeBody, sha256Hex } from '../../shared/weights/codec.ts'
import {
  chunksPartSchema,
  formatVersion,
  type ObjectManifest,
  parseRecord,
  toBytes,
} from '../../shared/weights/manifest.ts'
import { chunkName, deltaName, partName } from '../../shared/weights/names.ts'
import { bodyName, readPart } from '../../shared/weights/store.ts'
import { writeObject } from './replica.ts'
import { createWorld, noise, safetensorsOf, type World, type WorldOptions } from './weights-world.ts'

/** A replica with one release of two files and a marker, and a single object, and what proves it. */

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

export type ProofDeps = ValidateRunDeps & ScrubRunDeps
export type ProofWorld = { world: World; state: ProofState; open: () => ProofDeps }

/** Files by key; segments of 1,000 bytes, each a chunk and a part of its own. */
export const files = {
  'llama/v1/model.bin': noise(4500, 1),
  'llama/v1/small.safetensors': safetensorsOf({ a: 300, b: 200 }, 2),
  'llama/v1/_SUCCESS': Buffer.from('done'),
  'single.bin': noise(700, 3),
} as const

/** Lets everything that is due be done. */
export const rest = async (world: World): Promise<void> => {
  for (let round = 0; round < 3; round += 1) {
    await world.run()
    world.tick(1000)
    await world.sweep()
  }
  await world.run()
}

export const createProofWorld = async (options: WorldOptions = {}): Promise<ProofWorld> => {
  const world = createWorld({ segmentBytesMax: 1000, ...options })
  for (const [key, body] of Object.entries(files)) {
    world.publish(key, body)
    world.tick(2000)
  }
  await rest(world)
  const state = createMemoryProofState()
  const { config, store, clock, random, telemetry, source, chunks, objects, segments, digests, releases, chain } =
    world.deps
  const ledger = { objects, segments, digests, releases, chain }
  const open = (): ProofDeps => ({
    config,
    store,
    clock,
    random,
    telemetry,
    source,
    chunks,
    state,
    ledger,
    repairer: createRepairer(world.deps),
  })
  return { world, state, open }
}

export const reportsOf = async ({ store }: World, kind: Report['kind']): Promise<Report[]> => {
  const names = store.names().filter((name) => name.startsWith(`reports/${kind}/`))
  return Promise.all(names.map(async (name) => parseRecord(reportSchema, name, (await store.read(name))!)))
}

export const manifestOf = async (world: World, key: string): Promise<ObjectManifest> => {
  const found = (await world.manifests()).filter(({ source }) => source.key === key)
  return found.toSorted((a, b) => b.sequence - a.sequence)[0]!
}

export const nameOfManifest = (world: World, key: string): string =>
  world.names('objects/').filter((name) => name.startsWith(`objects/models/${key}/`))[0]!

export const chunkNamesOf = async (world: World, manifest: ObjectManifest): Promise<string[]> => {
  const names: string[] = []
  for (const part of manifest.parts) {
    const list = parseRecord(chunksPartSchema, 'part', await readPart(world.store, part))
    names.push(...list.chunks.map((chunk) => bodyName(chunk, 'chunk')))
  }
  return names
}

const flip = (body: Uint8Array, at: number): Uint8Array => {
  const copy = Uint8Array.from(body)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

/** Ways to hurt what is under a name: stored anew, so that the name has another generation, or where it lies. */
export const damages = {
  flipped: async ({ store }: World, name: string) => {
    const body = (await store.read(name))!
    store.remove(name)
    await store.create(name, flip(body, body.length - 3))
  },
  truncated: async ({ store }: World, name: string) => {
    const body = (await store.read(name))!
    store.remove(name)
    await store.create(name, body.subarray(0, body.length - 1))
  },
  'stored again': async ({ store }: World, name: string) => {
    const body = (await store.read(name))!
    store.remove(name)
    await store.create(name, body)
  },
  deleted: async ({ store }: World, name: string) => store.remove(name),
  condemned: async ({ store }: World, name: string) => {
    await store.update((await store.stat(name))!, { metadata: { 'lifeboat-condemned': '1' } })
  },
  rotten: async ({ store }: World, name: string) => store.corrupt(name, (body) => flip(body, body.length - 3)),
} as const
export type Damage = keyof typeof damages

/** Each gets the other's bytes. */
export const swap = async ({ store }: World, a: string, b: string): Promise<void> => {
  const [bodyA, bodyB] = [(await store.read(a))!, (await store.read(b))!]
  store.remove(a)
  store.remove(b)
  await store.create(a, bodyB)
  await store.create(b, bodyA)
}

/** An object of one chunk that is a delta against another body, as a later cutter will make them; the ledger has no row. */
export const addDelta = async ({ store }: World): Promise<{ base: string; delta: string; manifest: string }> => {
  const written = await writeObject(store, { key: 'delta.bin', bytes: Uint8Array.from(noise(300, 9)), chunkBytes: 300 })
  const baseBody = Buffer.concat([encodeBodyHeader({ codec: 'raw', plainLength: 200 }), noise(200, 10)])
  const baseId = sha256Hex(noise(200, 10))
  const baseStat = (await store.create(chunkName(baseId), baseBody))!
  const [part] = written.manifest.parts
  const [chunk] = parseRecord(chunksPartSchema, 'part', await readPart(store, part!)).chunks
  const name = deltaName(chunk!.id.slice('sha256:'.length), baseId)
  const { size, crc32c, generation } = (await store.create(name, noise(50, 11)))!
  const base = {
    id: `sha256:${baseId}`,
    length: 200,
    codec: 'raw',
    storedBytes: baseStat.size,
    crc32c: baseStat.crc32c,
  }
  const chunks = [
    {
      ...chunk!,
      name,
      codec: 'delta',
      storedBytes: size,
      crc32c,
      generation,
      base: { ...base, generation: baseStat.generation },
    },
  ]
  const plain = toBytes({ format: 'lifeboat/chunks', formatVersion, chunks })
  const { body } = encodeBody(plain)
  const id = sha256Hex(plain)
  const stat = (await store.create(partName(id), body))!
  const stored = { id: `sha256:${id}`, storedBytes: stat.size, crc32c: stat.crc32c, generation: stat.generation }
  const parts = [{ ...part!, ...stored }]
  store.remove(written.name)
  await store.create(written.name, toBytes({ ...written.manifest, parts }))
  return { base: chunkName(baseId), delta: name, manifest: written.name }
}
