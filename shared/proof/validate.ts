import { mapInOrder, toArray } from '../bounded.ts'
import { isRetryable, LifeboatError } from '../errors.ts'
import type { BlobStore, Clock, ObjectSource } from '../ports.ts'
import { folderOf, readsAtOnce, statsOf } from '../weights/catalog-read.ts'
import type { Deadline } from '../weights/deps.ts'
import type { Chain, DigestLedger, ObjectLedger, ReleaseLedger, SegmentLedger } from '../weights/ledger.ts'
import { type ObjectManifest, pendingSchema } from '../weights/manifest.ts'
import { objectManifestName, parseObjectManifestName, parsePendingName, parseReleaseName } from '../weights/names.ts'
import { readRecord } from '../weights/restore-read.ts'
import { createLook, type Flaw } from './look.ts'
import type { Repairer } from './repair.ts'
import { addFinding, mergeTally, type Tally } from './tally.ts'
import { aboutOf, type Checked, checkObject, type ObjectCheck } from './validate-object.ts'
import { checkReleases, findLostRelease, type ReleaseFlaw } from './validate-release.ts'

/** The commit's check, repeated over everything that the replica has; it looks and changes nothing. */

const objectsAtOnce = 8
const reserveMs = 60_000

export type ValidateDeps = {
  store: BlobStore
  clock: Clock
  /** Without AWS, the replica's own records are all that is compared. */
  source?: Pick<ObjectSource, 'head'>
  ledger?: {
    objects: Pick<ObjectLedger, 'get'>
    segments: Pick<SegmentLedger, 'list'>
    digests: Pick<DigestLedger, 'list'>
    releases: Pick<ReleaseLedger, 'get'>
    chain: Pick<Chain, 'newest'>
  }
  repairer?: Repairer
  /** Called when it is known how many object manifests a model's releases name, and after each manifest. */
  onTotal?: (manifests: number) => void
  onChecked?: () => void
}

/** Where a run goes on: the first name that was not looked at, and in its object the byte. */
export type Place = { phase: 'releases' | 'objects' | 'pending'; name: string; offset: number }

export const firstPlace: Place = { phase: 'releases', name: '', offset: 0 }

type Run = { deps: ValidateDeps; check: ObjectCheck; tally: Tally; prefixes: Set<string> }

const openRun = (deps: ValidateDeps, deadline: Deadline, tally: Tally): Run => {
  const { store, source, ledger } = deps
  const check: ObjectCheck = {
    store,
    look: createLook(store),
    isLate: () => deadline.remainingMs() < reserveMs,
    ...(source ? { source } : {}),
    ...(ledger ? { ledger } : {}),
  }
  return { deps, check, tally, prefixes: new Set() }
}

const nobody = { repaired: 'no', why: '' } as const

type About = NonNullable<Checked['about']>

const report = (
  tally: Tally,
  flaw: Flaw,
  { repaired, why }: { repaired: 'sent' | 'no'; why: string },
  about?: About,
): void => {
  const { kind, subject, detail } = flaw
  const whose = about && `of s3://${about.bucket}/${about.key} version ${about.version}`
  const words = [detail, whose, why].filter((text) => text !== undefined && text !== '')
  addFinding(tally, { kind, subject, detail: words.join('; '), repaired })
}

/** A format that is newer than this program says nothing of damage. */
const isMendable = (flaws: readonly Flaw[]): boolean => flaws.some(({ kind }) => kind !== 'unreadable')

const mendObject = async ({ deps, tally }: Run, { flaws, about }: Pick<Checked, 'flaws' | 'about'>): Promise<void> => {
  const bodies = [...new Set(flaws.flatMap(({ body }) => (body === undefined ? [] : [body])))]
  const repaired = about && isMendable(flaws) ? await deps.repairer?.object(about, bodies) : undefined
  for (const flaw of flaws) report(tally, flaw, repaired ?? nobody, about)
}

const mendRelease = async ({ deps, tally }: Run, flaw: ReleaseFlaw): Promise<void> => {
  const { mend } = flaw
  const repaired =
    mend &&
    deps.repairer &&
    ('release' in mend ? deps.repairer.release(mend.release) : deps.repairer.object(mend.object, []))
  report(tally, flaw, (await repaired) ?? nobody)
}

const guarded = async (run: Run, name: string, from: number): Promise<Checked> => {
  try {
    return await checkObject(run.check, name, from)
  } catch (error) {
    if (!(error instanceof LifeboatError) || isRetryable(error)) throw error
    const about = aboutOf(name, undefined)
    const flaws = [{ kind: 'unreadable', subject: name, detail: error.message }]
    return { counts: { manifests: 1 }, flaws, ...(about ? { about } : {}) }
  }
}

/** The release that an object belongs to is looked for once a call, by what the ledger says was sealed. */
const lookForRelease = async (
  run: Run,
  manifest: Pick<ObjectManifest, 'release' | 'source'> | undefined,
): Promise<void> => {
  const { ledger, store } = run.deps
  const { release, source } = manifest ?? {}
  if (!ledger || !release || !source) return
  const prefix = source.key.slice(0, source.key.length - release.path.length)
  const place = `${source.bucket}/${prefix}`
  if (run.prefixes.has(place)) return
  run.prefixes.add(place)
  const { model, version } = release
  const flaw = await findLostRelease(
    { store, releases: ledger.releases },
    { bucket: source.bucket, prefix, model, version },
  )
  if (flaw) await mendRelease(run, flaw)
}

/** Checks the manifests of these names in order. Where it was late: the name and byte at which the next call goes on. */
const checkObjects = async (
  run: Run,
  names: AsyncIterable<string> | Iterable<string>,
  place: { name: string; offset: number },
): Promise<{ name: string; offset: number } | undefined> => {
  const one = async (name: string): Promise<{ name: string; checked: Checked | 'late' }> => {
    if (run.check.isLate()) return { name, checked: 'late' }
    return { name, checked: await guarded(run, name, name === place.name ? place.offset : 0) }
  }
  for await (const { name, checked } of mapInOrder(names, objectsAtOnce, one)) {
    if (checked === 'late') return { name, offset: 0 }
    mergeTally(run.tally, { counts: checked.counts, findings: [], findingsTotal: 0 })
    if (checked.flaws.length > 0) await mendObject(run, checked)
    await lookForRelease(run, checked.manifest)
    if (checked.stoppedAt !== undefined) return { name, offset: checked.stoppedAt }
    run.deps.onChecked?.()
  }
  return undefined
}

async function* namesOf(
  store: BlobStore,
  prefix: string,
  from: string,
  wanted: (name: string) => unknown,
): AsyncGenerator<string> {
  for await (const { name } of store.list(prefix, from === '' ? {} : { from }))
    if (wanted(name) !== undefined) yield name
}

/** Names that are of one folder, all of them. */
async function* folders(names: AsyncIterable<string>): AsyncGenerator<string[]> {
  let folder: string[] = []
  for await (const name of names) {
    if (folder[0] !== undefined && folderOf(folder[0]) !== folderOf(name)) {
      yield folder
      folder = []
    }
    folder.push(name)
  }
  if (folder.length > 0) yield folder
}

const checkFolder = async (run: Run, names: readonly string[]): Promise<string[]> => {
  const { counts, flaws, members } = await checkReleases(run.deps, names)
  mergeTally(run.tally, { counts, findings: [], findingsTotal: 0 })
  for (const flaw of flaws) await mendRelease(run, flaw)
  return members
}

/** Every plan that the ledger says is sealed has its manifest: one that was deleted is not in any list. */
const checkPlan = async (run: Run, name: string): Promise<Checked> => {
  const { ledger, store } = run.deps
  const { record } = await readRecord(store, name, pendingSchema)
  const { bucket, key, version } = record.source
  const row = await ledger?.objects.get(record.traceId)
  const isSealed = row?.planId === record.planId && (row.state === 'protected' || row.state === 'sealed')
  const manifest = objectManifestName(bucket, key, version, record.planId)
  if (!isSealed || (await store.stat(manifest))) return { counts: { plans: 1 }, flaws: [] }
  const detail = 'the ledger says that it was sealed, and it is not in the replica'
  return {
    counts: { plans: 1 },
    flaws: [{ kind: 'missing', subject: manifest, detail }],
    about: { bucket, key, version },
  }
}

const guardedPlan = async (run: Run, name: string): Promise<Checked> => {
  try {
    return await checkPlan(run, name)
  } catch (error) {
    if (!(error instanceof LifeboatError) || isRetryable(error)) throw error
    return { counts: { plans: 1 }, flaws: [{ kind: 'unreadable', subject: name, detail: error.message }] }
  }
}

const checkPlans = async (run: Run, from: string): Promise<string | undefined> => {
  const names = namesOf(run.deps.store, 'pending/', from, parsePendingName)
  const one = async (name: string) => ({ name, checked: run.check.isLate() ? undefined : await guardedPlan(run, name) })
  for await (const { name, checked } of mapInOrder(names, readsAtOnce, one)) {
    if (!checked) return name
    mergeTally(run.tally, { counts: checked.counts, findings: [], findingsTotal: 0 })
    if (checked.flaws.length > 0) await mendObject(run, checked)
  }
  return undefined
}

/**
 * Goes on from `place` over all releases, all object manifests and all plans, until the end or the deadline; what it counts
 * and finds is added to `tally`. Undefined at the end, otherwise where the next call goes on.
 */
export const validateFrom = async (
  deps: ValidateDeps,
  deadline: Deadline,
  place: Place,
  tally: Tally,
): Promise<Place | undefined> => {
  const run = openRun(deps, deadline, tally)
  let { phase, name, offset } = place
  if (phase === 'releases') {
    for await (const names of folders(namesOf(deps.store, 'releases/', name, parseReleaseName))) {
      if (run.check.isLate()) return { phase, name: names[0] ?? '', offset: 0 }
      await checkFolder(run, names)
    }
    ;({ phase, name, offset } = { phase: 'objects', name: '', offset: 0 })
  }
  if (phase === 'objects') {
    const late = await checkObjects(run, namesOf(deps.store, 'objects/', name, parseObjectManifestName), {
      name,
      offset,
    })
    if (late) return { phase, ...late }
    name = ''
  }
  if (!deps.ledger) return undefined
  const late = await checkPlans(run, name)
  return late === undefined ? undefined : { phase: 'pending', name: late, offset: 0 }
}

/** The same for the releases of `names` and what they name alone. False where the deadline came before the end. */
export const validateReleases = async (
  deps: ValidateDeps,
  deadline: Deadline,
  names: readonly string[],
  tally: Tally,
): Promise<boolean> => {
  const run = openRun(deps, deadline, tally)
  const members = await checkFolder(run, names)
  deps.onTotal?.(members.length)
  return (await checkObjects(run, members, { name: '', offset: 0 })) === undefined
}

/** The names of a model's releases, or of one version of it. */
export const releaseNames = async (store: BlobStore, model: string, version?: string): Promise<string[]> => {
  const isWanted = (name: string): boolean => {
    const parsed = parseReleaseName(name)
    if (!parsed) return false
    const hasModel = 'sha256' in parsed.model || parsed.model.text === model
    return hasModel && (version === undefined || 'sha256' in parsed.version || parsed.version.text === version)
  }
  return (await toArray(statsOf(store, 'releases/', isWanted))).map(({ name }) => name)
}
