import { forEachBounded } from '../bounded.ts'
import { prefixOfRelease } from '../path-template.ts'
import { isUnversioned, traceIdOf, versionOf } from '../weights/identity.ts'
import type { WeightsDeps } from '../weights/deps.ts'

/**
 * How what a check found is made good: by the normal path, under a new plan or a new release id, since nothing that is
 * sealed is ever changed (docs/adr/0011-repair-by-a-new-plan.md).
 */

export type Repaired = { repaired: 'sent' | 'no'; why: string }

export type Repairer = {
  /** Copies the object version anew; the stored bytes of `bodies` (SHA-256 in hex) are not believed. */
  object(about: { bucket: string; key: string; version: string }, bodies: readonly string[]): Promise<Repaired>
  /** Seals the releases of a model's version anew; `bucket` and the `id` of the manifest that is wanting where known. */
  release(about: { model: string; version: string; bucket?: string; id?: string }): Promise<Repaired>
}

/** A message of SQS holds 256 KiB; what is not named is found by the next check and then named. */
const bodiesMax = 500
const forgottenAtOnce = 32

const noSource: Repaired = { repaired: 'no', why: 'the source no longer has this version' }

type Deps = Pick<
  WeightsDeps,
  'config' | 'source' | 'objects' | 'chunks' | 'releases' | 'objectsQueue' | 'clock' | 'random'
>

const sendAnew = async (
  deps: Deps,
  { bucket, key, version }: { bucket: string; key: string; version: string },
  bodies: readonly string[],
): Promise<Repaired> => {
  const versionId = isUnversioned(version) ? undefined : version
  const traceId = traceIdOf(bucket, key, version)
  const object = await deps.source.head({ bucket, key, ...(versionId === undefined ? {} : { versionId }) })
  if (!object || versionOf(object) !== version) return noSource
  if (object.isArchived)
    return { repaired: 'no', why: `the source has it archived in ${object.storageClass}: restore it there` }
  const row = await deps.objects.get(traceId)
  if (row?.state === 'copying') return { repaired: 'sent', why: 'it is being copied anew' }
  const attempt = (row?.attempt ?? 0) + 1
  await deps.objectsQueue.send([
    {
      lifeboat: 1,
      kind: 'plan',
      bucket,
      key,
      traceId,
      attempt,
      repair: { bodies: [...bodies] },
      ...(versionId === undefined ? {} : { versionId }),
    },
  ])
  return { repaired: 'sent', why: `copied anew from the source, attempt ${attempt}` }
}

/** The plan itself believes none of the bodies: to forget them is for other objects, and must not be in its way. */
const repairObject = async (
  deps: Deps,
  about: { bucket: string; key: string; version: string },
  bodies: readonly string[],
): Promise<Repaired> => {
  const named = bodies.slice(0, bodiesMax)
  const repaired = await sendAnew(deps, about, named)
  await forEachBounded(named, forgottenAtOnce, (id) => deps.chunks.forget(id))
  return repaired
}

/** One for a call: what it has sent it does not send twice. */
export const createRepairer = (deps: Deps): Repairer => {
  const objects = new Map<string, Promise<Repaired>>()
  const sealed = new Set<string>()
  return {
    object: (about, bodies) => {
      const id = JSON.stringify([about.bucket, about.key, about.version])
      const sent = objects.get(id) ?? repairObject(deps, about, bodies)
      objects.set(id, sent)
      return sent
    },
    release: async ({ model, version, bucket, id }) => {
      let known = 0
      for (const rule of deps.config.buckets) {
        if (bucket !== undefined && rule.name !== bucket) continue
        const prefix = prefixOfRelease(rule.release.path, rule.prefix, { model, version })
        if (!(await deps.releases.get(rule.name, prefix))) continue
        known += 1
        const what = JSON.stringify([rule.name, prefix, id])
        if (sealed.has(what)) continue
        sealed.add(what)
        await deps.releases.reopen(rule.name, prefix, deps.random.hex(8), deps.clock.now(), id)
        await deps.releases.request(rule.name, prefix, deps.clock.now())
      }
      return known > 0
        ? { repaired: 'sent', why: 'the release is sealed anew' }
        : { repaired: 'no', why: 'the ledger knows no such release' }
    },
  }
}
