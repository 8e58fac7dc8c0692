import { mapInOrder } from '../bounded.ts'
import { CorruptError, InvalidInputError, LifeboatError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { readSealed } from '../weights/catalog-read.ts'
import {
  chunksPartSchema,
  indexPartSchema,
  type ObjectManifest,
  type PartRef,
  parseRecord,
} from '../weights/manifest.ts'
import { parseObjectManifestName } from '../weights/names.ts'
import { bodyName, readPart } from '../weights/store.ts'
import { isReplaced, type ObjectCheck } from './validate-object.ts'

/** Which objects name a body: asked only where one was found to be wrong, since it reads every list of chunks. */

const manifestsAtOnce = 8

export const placeOf = ({ name, generation }: { name: string; generation: string }): string => `${name}#${generation}`

/** Every body that the parts name; what cannot be read of them is for the validator to find. */
async function* placesOf(store: BlobStore, parts: readonly PartRef[]): AsyncGenerator<string> {
  for (const part of parts) {
    const name = bodyName(part, 'part')
    yield placeOf({ name, generation: part.generation })
    try {
      const plain = await readPart(store, part)
      if (part.kind === 'index') {
        yield* placesOf(store, parseRecord(indexPartSchema, name, plain).parts)
        continue
      }
      for (const chunk of parseRecord(chunksPartSchema, name, plain).chunks)
        for (const ref of [chunk, chunk.base])
          if (ref) yield placeOf({ name: bodyName(ref, 'chunk'), generation: ref.generation })
    } catch (error) {
      if (!(error instanceof CorruptError || error instanceof InvalidInputError)) throw error
    }
  }
}

export type Namer = { name: string; bucket: string; key: string; version: string; places: string[] }

const namedIn = async (store: BlobStore, manifest: ObjectManifest, wanted: ReadonlySet<string>): Promise<string[]> => {
  const found = new Set<string>()
  for (const part of manifest.tensors) {
    const place = placeOf({ name: bodyName(part, 'part'), generation: part.generation })
    if (wanted.has(place)) found.add(place)
  }
  for await (const place of placesOf(store, manifest.parts)) if (wanted.has(place)) found.add(place)
  return [...found]
}

/** Undefined where the manifest cannot be read, names none of them, or another one counts in its place. */
const namerOf = async (check: ObjectCheck, name: string, wanted: ReadonlySet<string>): Promise<Namer | undefined> => {
  let manifest: ObjectManifest | undefined
  try {
    manifest = (await readSealed(check.store, name))?.object
  } catch (error) {
    if (!(error instanceof LifeboatError) || error.retryable) throw error
  }
  const places = manifest ? await namedIn(check.store, manifest, wanted) : []
  if (!manifest || places.length === 0) return undefined
  const row = await check.ledger?.objects.get(manifest.traceId)
  if (await isReplaced(check, name, manifest, row)) return undefined
  const { bucket, key, version } = manifest.source
  return { name, bucket, key, version, places }
}

/** The objects that name any of `wanted`, from the manifest `from` on; `stoppedAt` is where the next call goes on. */
export const findNamers = async (
  check: ObjectCheck,
  wanted: ReadonlySet<string>,
  from: string,
): Promise<{ namers: Namer[]; stoppedAt?: string }> => {
  async function* names(): AsyncGenerator<string> {
    for await (const { name } of check.store.list('objects/', from === '' ? {} : { from }))
      if (parseObjectManifestName(name)) yield name
  }
  const namers: Namer[] = []
  const one = async (name: string) =>
    ({ name, namer: check.isLate() ? 'late' : await namerOf(check, name, wanted) }) as const
  for await (const { name, namer } of mapInOrder(names(), manifestsAtOnce, one)) {
    if (namer === 'late') return { namers, stoppedAt: name }
    if (namer) namers.push(namer)
  }
  return { namers }
}
