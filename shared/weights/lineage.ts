import * as z from 'zod'
import { prefixOfRelease } from '../path-template.ts'
import { InvalidInputError, LifeboatError } from '../errors.ts'
import type { BlobStore, SourceObject } from '../ports.ts'
import type { WeightsDeps } from './deps.ts'
import type { ReleaseKey } from './ledger.ts'
import { type ObjectManifest, objectManifestSchema, parseRecord } from './manifest.ts'
import type { BucketRule } from './plan.ts'
import { publishName } from './release-rules.ts'
import { readRange } from './source-range.ts'

/** Which version an object came from: what its deltas are against. Never more than a hint, since a delta names its base. */

const publishBytesMax = 2 ** 20
const manifestBytesMax = 64 * 2 ** 20
/** Of a base that lies further back nothing is known: the chunk then stands alone, and is what comes next is against. */
const ancestorsMax = 8

const namesParentSchema = z.object({ parent: z.string().min(1) })

/** `MODEL@VERSION`, or a version of the same model. */
const parsedParent = (text: string, model: string): { model: string; version: string } => {
  const at = text.lastIndexOf('@')
  return at > 0 ? { model: text.slice(0, at), version: text.slice(at + 1) } : { model, version: text }
}

/** The parent that the publisher names, where the list is in the source before the file is planned. */
const namedParent = async (
  deps: WeightsDeps,
  bucket: string,
  release: ReleaseKey,
): Promise<{ model: string; version: string } | undefined> => {
  const list = await deps.source.head({ bucket, key: `${release.prefix}${publishName}` })
  if (!list || list.size > publishBytesMax || list.isArchived) return undefined
  try {
    const text = Buffer.from(await readRange(deps.source, list, 0, list.size)).toString()
    const parsed = namesParentSchema.safeParse(JSON.parse(text))
    return parsed.success ? parsedParent(parsed.data.parent, release.model) : undefined
  } catch (error) {
    // The list is judged where the release is; here it only has no say.
    if (error instanceof SyntaxError || error instanceof LifeboatError) return undefined
    throw error
  }
}

const newestManifestOf = async (deps: WeightsDeps, bucket: string, key: string): Promise<string | undefined> =>
  (await deps.chain.newest(`object#${bucket}#${key}`))?.info['manifest']

/**
 * Name of the manifest of the version that an object came from: the file of the same path in the release that its publisher names,
 * or in the newest release of its model; or the version of the same key that was sealed last.
 */
export const parentOf = async (
  deps: WeightsDeps,
  rule: BucketRule,
  object: SourceObject,
  release: ReleaseKey | undefined,
): Promise<string | undefined> => {
  const { bucket, key } = object
  const ofRelease = async (named: { model: string; version: string } | undefined): Promise<string | undefined> => {
    if (!release || !named || (named.model === release.model && named.version === release.version)) return undefined
    return newestManifestOf(deps, bucket, `${prefixOfRelease(rule.release.path, rule.prefix, named)}${release.path}`)
  }
  const named = release && (await ofRelease(await namedParent(deps, bucket, release)))
  if (named !== undefined) return named
  const version = release?.version && (await deps.chain.newest(`release#${release.model}`))?.info['version']
  const before = release && version ? await ofRelease({ model: release.model, version }) : undefined
  return before ?? newestManifestOf(deps, bucket, key)
}

/**
 * The manifest named and those before it, newest first, as far as each is protected, has a tensor index and can be read:
 * what was not compared with the source is no base.
 */
export async function* ancestorsOf(store: BlobStore, parent: string): AsyncGenerator<ObjectManifest> {
  let name: string | null = parent
  for (let depth = 0; name !== null && depth < ancestorsMax; depth += 1) {
    const bytes = await store.read(name, { bytesMax: manifestBytesMax })
    if (!bytes) return
    let manifest: ObjectManifest
    try {
      manifest = parseRecord(objectManifestSchema, name, bytes)
    } catch (error) {
      if (error instanceof InvalidInputError) return
      throw error
    }
    if (manifest.state !== 'protected' || manifest.tensors.length === 0) return
    yield manifest
    name = manifest.parent
  }
}
