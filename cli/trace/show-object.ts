import type { ObjectTrace } from '../../shared/weights/catalog-trace.ts'
import { traceIdOf } from '../../shared/weights/identity.ts'
import type { FailedRecord, ObjectManifest } from '../../shared/weights/manifest.ts'
import { type Listing, noteSqueeze } from '../ls/listing.ts'
import { humanBytes, humanDuration, plural, printable, renderTable } from '../output.ts'
import type { Found } from './find-object.ts'

/** The path of an object version as stages in the order of their times. */

export type Stage = {
  stage: 'written' | 'planned' | 'cancelled' | 'sealed' | 'released' | 'waiting' | 'deleted' | FailedRecord['state']
  at: string
  what: string
  /** Names and numbers of the stage, for programs. */
  facts: Record<string, unknown>
}

const checkText = ({ state, checksums: { verified, unverifiedReason } }: ObjectManifest): string =>
  verified
    ? `${state}, checked against the source's ${verified.algorithm}`
    : `${state}, unverified${unverifiedReason === undefined ? '' : `: ${unverifiedReason}`}`

const sealedStages = ({ sealed, cancelled }: ObjectTrace): Stage[] => [
  ...sealed.map(({ name, object }): Stage => {
    const { sealedAt, planId, sequence, state, checksums, traceId } = object
    const facts = { manifest: name, planId, sequence, state, verified: checksums.verified, traceId }
    return { stage: 'sealed', at: sealedAt, what: `${checkText(object)}; plan ${planId}, sequence ${sequence}`, facts }
  }),
  ...cancelled.map(({ planId, at }): Stage => ({
    stage: 'cancelled',
    at,
    what: `plan ${planId} was given up for another`,
    facts: { planId },
  })),
]

const planStages = ({ plans }: ObjectTrace): Stage[] =>
  plans.map(({ plannedAt, planId, segments, cutter, warnings, size }) => ({
    stage: 'planned',
    at: plannedAt,
    what: [`plan ${planId}, ${plural(segments, 'segment')} cut by ${cutter}`, ...warnings].join('; '),
    facts: { planId, segments, cutter, warnings, bytes: size },
  }))

const releaseStages = ({ releases, waiting }: ObjectTrace): Stage[] => [
  ...releases.map(({ name, release: { sealedAt, model, version, state, completeness } }): Stage => ({
    stage: 'released',
    at: sealedAt,
    what: `${model}@${version}, ${state}, complete by ${completeness}`,
    facts: { manifest: name, model, version, state, completeness },
  })),
  ...waiting.map(({ at, model, version, reason }): Stage => ({
    stage: 'waiting',
    at,
    what: `${model}${version === '-' ? '' : `@${version}`}: ${reason}`,
    facts: { model, version, reason },
  })),
]

const endStages = ({ failed, deleted }: ObjectTrace): Stage[] => [
  ...failed.map(({ state, at, reason, detail, traceId }): Stage => ({
    stage: state,
    at,
    what: detail === undefined ? reason : `${reason}: ${detail}`,
    facts: { reason, traceId },
  })),
  ...deleted.map(({ at, deletion }): Stage => ({
    stage: 'deleted',
    at,
    what: `in the source (${deletion}); the replica keeps it`,
    facts: { deletion },
  })),
]

export const stagesOf = (trace: ObjectTrace): Stage[] => {
  const source = trace.sealed[0]?.object.source ?? trace.plans[0]?.source
  const written: Stage[] = source
    ? [{ stage: 'written', at: source.lastModified, what: 'in the source', facts: { etag: source.etag } }]
    : []
  return [...written, ...planStages(trace), ...sealedStages(trace), ...releaseStages(trace), ...endStages(trace)].sort(
    (a, b) => Date.parse(a.at) - Date.parse(b.at),
  )
}

/** Below ten seconds with a tenth. */
const stepText = (ms: number): string => (ms < 10_000 ? `${(ms / 1000).toFixed(1)}s` : humanDuration(ms))

const stateOf = ({ sealed, failed }: ObjectTrace): string => {
  const manifest = sealed.find(({ object }) => object.state === 'protected') ?? sealed[0]
  return manifest?.object.state ?? failed.at(-1)?.state ?? 'pending'
}

const nameOf = ({ object: { bucket, key, version } }: ObjectTrace): string =>
  `${bucket === '' ? key : `s3://${bucket}/${key}`}${version === '' ? '' : `#${version}`}`

/** `traceId` is the one that was asked for, which may be that of an event alone. */
export const showObject = ({ trace, others }: Found, width: number | undefined, traceId?: string): Listing => {
  const stages = stagesOf(trace)
  const { bucket, key, version } = trace.object
  const id = traceId ?? traceIdOf(bucket, key, version)
  const size = trace.sealed[0]?.object.size ?? trace.plans[0]?.size
  const steps = stages.map((stage, index) => {
    const before = stages[index - 1]
    return { ...stage, afterMs: before ? Date.parse(stage.at) - Date.parse(before.at) : null }
  })
  const cells = steps.map(({ stage, at, what, afterMs }) => [
    at,
    afterMs === null ? '' : `+${stepText(afterMs)}`,
    stage,
    what,
  ])
  const table = renderTable(['time', 'after', 'stage', 'what'], cells, ['after'], {
    width,
    squeezes: [noteSqueeze('what', 24)],
  })
  const facts = [stateOf(trace), ...(size === undefined ? [] : [humanBytes(size)]), `trace ${id}`]
  const known = others.length > 0 ? [`other versions: ${others.slice(0, 5).join(', ')}`] : []
  const head = [nameOf(trace), facts.join(', '), ...known].map(printable)
  return {
    json: {
      traceId: id,
      object: { bucket, key, version, bytes: size ?? null },
      state: stateOf(trace),
      stages: steps.map(({ stage, at, afterMs, facts: details }) => ({
        stage,
        at,
        afterSeconds: afterMs === null ? null : afterMs / 1000,
        ...details,
      })),
      otherVersions: others,
      damaged: trace.damaged,
    },
    damaged: trace.damaged,
    text: `${head.join('\n')}\n\n${table}`,
  }
}
