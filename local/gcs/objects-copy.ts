import { createReadStream } from 'node:fs'
import { sendJson } from '../http.ts'
import { ApiError, invalid } from './api-error.ts'
import { readJson, requireBucket, requireObject, toResource, type Call } from './call.ts'
import { createBodyHasher } from './checksums.ts'
import { checkCreate, commitObject } from './commit.ts'
import type { Json, ObjectMeta, ObjectRow } from './metadata-store.ts'
import { checkObjectName, writableFields } from './object-metadata.ts'
import { checkPreconditions } from './preconditions.ts'

const SOURCES_MAX = 32

type Generation = string | number
type Source = { name?: unknown; generation?: Generation; objectPreconditions?: { ifGenerationMatch?: Generation } }

const findSource = (call: Call, bucket: string, source: Source): ObjectRow => {
  const name = checkObjectName(source.name)
  const row = requireObject(call, bucket, name, source.generation === undefined ? null : String(source.generation))
  const wanted = source.objectPreconditions?.ifGenerationMatch
  if (wanted !== undefined && String(wanted) !== row.meta.generation)
    throw new ApiError(412, 'conditionNotMet', `The source ${name} is not of generation ${String(wanted)}.`)
  return row
}

async function* readAll(call: Call, rows: ObjectRow[]): AsyncGenerator<Uint8Array> {
  for (const row of rows)
    yield* createReadStream(call.gcs.bodies.path(row.file), { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>
}

/** POST /b/BUCKET/o/NAME/compose: the sources' bytes in order; the result has no MD5. */
export const composeObject = async (call: Call, bucket: string, name: string): Promise<void> => {
  const { gcs, query, caller } = call
  const given = await readJson(call.request)
  requireBucket(gcs, bucket)
  caller.need('storage.objects.get')
  const target = { bucket, name: checkObjectName(name), query }
  checkCreate(call, target)
  const sources = given['sourceObjects']
  if (!Array.isArray(sources) || sources.length === 0) throw invalid('You must provide at least one source component.')
  if (sources.length > SOURCES_MAX)
    throw invalid(`The number of source components provided (${sources.length}) exceeds the maximum (${SOURCES_MAX})`)
  const rows = sources.map((source) => findSource(call, bucket, source as Source))
  const destination = (given['destination'] as Json | undefined) ?? {}
  const file = gcs.bodies.create()
  try {
    const hasher = await createBodyHasher()
    const size = await gcs.bodies.append(file, readAll(call, rows), hasher)
    const meta = commitObject(call, {
      target,
      given: destination,
      body: { file, size, digests: hasher.digest() },
      // Ignored in the destination: `gcloud storage` sends those of the first source.
      digests: {},
      componentCount: rows.reduce((count, row) => count + (row.meta.componentCount ?? 1), 0),
    })
    sendJson(call.response, 200, toResource(call.base, meta))
  } catch (error) {
    await gcs.bodies.remove(file)
    throw error
  }
}

const copy = (call: Call, from: ObjectRow, target: { bucket: string; name: string }, given: Json): ObjectMeta => {
  const { gcs, query } = call
  const { meta } = from
  const file = gcs.bodies.link(from.file)
  try {
    return commitObject(call, {
      target: { ...target, query },
      given: Object.keys(writableFields(given)).length > 0 || given['retention'] ? given : writableFields(meta),
      body: { file, size: Number(meta.size), digests: { crc32c: meta.crc32c, md5Hash: meta.md5Hash ?? '' } },
      digests: {},
      ...(meta.componentCount === undefined ? {} : { componentCount: meta.componentCount }),
    })
  } catch (error) {
    void gcs.bodies.remove(file)
    throw error
  }
}

/** POST .../rewriteTo/b/BUCKET/o/NAME (always done in one call) and copyTo. Metadata is the source's unless some is given. */
export const copyObject = async (
  call: Call,
  kind: 'rewriteTo' | 'copyTo',
  source: { bucket: string; name: string },
  target: { bucket: string; name: string },
): Promise<void> => {
  const { query, caller } = call
  const given = await readJson(call.request)
  requireBucket(call.gcs, source.bucket)
  caller.need('storage.objects.get')
  const from = requireObject(call, source.bucket, source.name, query.get('sourceGeneration'))
  checkPreconditions(query, from.meta, { prefix: 'ifSource' })
  const meta = copy(call, from, { bucket: target.bucket, name: checkObjectName(target.name) }, given)
  const resource = toResource(call.base, meta)
  const { size } = meta
  sendJson(
    call.response,
    200,
    kind === 'copyTo'
      ? resource
      : { kind: 'storage#rewriteResponse', totalBytesRewritten: size, objectSize: size, done: true, resource },
  )
}
