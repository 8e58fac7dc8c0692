import { sendJson } from '../http.ts'
import { flag, readJson, requireBucket, requireObject, toResource, type Call } from './call.ts'
import { isVersioned, retired } from './commit.ts'
import type { ObjectMeta } from './metadata-store.ts'
import { patchFields, replaceFields } from './object-metadata.ts'
import { checkPreconditions } from './preconditions.ts'
import { changeRetention, checkRetained } from './retention.ts'

/** PATCH and PUT of an object's metadata; a new metageneration each. */
export const changeObject = async (call: Call, bucketName: string, name: string): Promise<void> => {
  const { gcs, query, caller } = call
  const given = await readJson(call.request)
  const bucket = requireBucket(gcs, bucketName)
  caller.need('storage.objects.update')
  const row = requireObject(call, bucketName, name, query.get('generation'))
  checkPreconditions(query, row.meta)
  const fields = call.request.method === 'PATCH' ? patchFields(row.meta, given) : replaceFields(row.meta, given)
  const meta: ObjectMeta = {
    ...fields,
    metageneration: String(Number(row.meta.metageneration) + 1),
    updated: new Date(gcs.now()).toISOString(),
  }
  if (given['retention'] !== undefined) {
    const retention = changeRetention({
      bucket,
      current: row.meta.retention,
      given: given['retention'],
      override: flag(query, 'overrideUnlockedRetention'),
      caller,
      now: gcs.now(),
    })
    delete meta.retention
    if (retention) meta.retention = retention
  }
  gcs.store.apply({ put: { ...row, meta } })
  sendJson(call.response, 200, toResource(call.base, meta))
}

/** DELETE: the live object becomes noncurrent in a versioned bucket; a generation that is named goes for good. */
export const deleteObject = (call: Call, bucketName: string, name: string): void => {
  const { gcs, query, caller } = call
  const bucket = requireBucket(gcs, bucketName)
  caller.need('storage.objects.delete')
  const row = requireObject(call, bucketName, name, query.get('generation'))
  checkPreconditions(query, row.meta)
  checkRetained(row.meta, gcs.now())
  if (isVersioned(bucket) && !query.has('generation')) gcs.store.apply({ retire: retired(row, gcs.now()) })
  else {
    gcs.store.apply({ drop: row })
    void gcs.bodies.remove(row.file)
  }
  call.response.writeHead(204).end()
}
