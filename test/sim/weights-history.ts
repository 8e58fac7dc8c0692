import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { toArray } from '../../shared/bounded.ts'
import type { PutOptions } from '../../shared/clouds/memory/source.ts'
import { isRetryable } from '../../shared/errors.ts'
import type { SourceObject } from '../../shared/ports.ts'
import { encodeBodyHeader } from '../../shared/weights/body.ts'
import { traceIdOf, versionOf } from '../../shared/weights/identity.ts'
import { type ObjectManifest, toBytes } from '../../shared/weights/manifest.ts'
import { objectManifestName } from '../../shared/weights/names.ts'
import { chunksOfParts } from '../../shared/weights/read.ts'
import { bodyName } from '../../shared/weights/store.ts'
import { bucketName, createWorld, noise, safetensorsOf, seeded, type World } from '../support/weights-world.ts'
import { createScheduler } from './scheduler.ts'

/** One random history of publishes, duplicates, losses, crashes, poison and collection, and what must hold after it. */

const prefixes = ['llama/v1/', 'llama/v2/']
const paths = ['a.bin', 'b.safetensors', 'sub/c.bin']
const checksums: PutOptions[] = [
  {},
  {},
  {},
  { checksum: { algorithm: 'SHA1', type: 'FULL_OBJECT' } },
  { checksum: { algorithm: 'CRC32', type: 'COMPOSITE' }, partBytes: 25 },
  { checksum: { algorithm: 'SHA256', type: 'COMPOSITE' }, partBytes: 25 },
  { checksum: null },
  { checksum: null, isEncrypted: true },
]

type Marker = { key: string; version: string; expected: Map<string, string> }
type Actor = { world: World; random: () => number; markers: Marker[]; bodies: Map<string, Buffer>; marker: string }

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const pick = <T>(random: () => number, items: readonly T[]): T => items[Math.floor(random() * items.length)] as T

const publish = (actor: Actor, key: string, body: Buffer, options: PutOptions = {}): SourceObject => {
  const { world, random } = actor
  const object = world.publish(key, body, { ...options, quiet: true })
  actor.bodies.set(`${key} ${versionOf(object)}`, body)
  world.announce(object, pick(random, [0, 1, 1, 1, 2, 3]))
  return object
}

const bodyFor = (path: string, random: () => number): Buffer => {
  const seed = Math.floor(random() * 3)
  if (path.endsWith('.safetensors')) return safetensorsOf({ x: 20 + seed, y: 30 }, seed)
  return noise(pick(random, [0, 1, 30, 90]), seed)
}

const currentOf = async (world: World, prefix: string): Promise<SourceObject[]> => {
  const objects: SourceObject[] = []
  for (const entry of await toArray(world.source.versions(bucketName, prefix))) {
    if (!entry.isLatest || entry.etag === undefined) continue
    const object = await world.source.head({ bucket: bucketName, key: entry.key })
    if (object) objects.push(object)
  }
  return objects
}

/** A marker for what a prefix has now, in a second of its own; no key has two contents in the second before it. */
const publishMarker = async (actor: Actor): Promise<void> => {
  const { world, random, marker } = actor
  const prefix = pick(random, prefixes)
  const key = prefix + marker
  const members = (await currentOf(world, prefix)).filter((object) => object.key !== key)
  if (members.length === 0) return
  const expected = new Map<string, string>()
  const files = members.map((object) => {
    const path = object.key.slice(prefix.length)
    const digest = sha256(world.source.bodyOf(object)!)
    expected.set(path, digest)
    const byVersion = object.versionId !== undefined && random() < 0.5
    return { key: path, size: object.size, ...(byVersion ? { versionId: object.versionId } : { sha256: digest }) }
  })
  world.tick(2000)
  const body = marker === '_PUBLISH.json' ? Buffer.from(JSON.stringify({ files })) : noise(3, world.now() / 1000)
  const object = publish(actor, key, body)
  actor.markers.push({ key, version: versionOf(object), expected })
  world.tick(2000)
}

const bodiesInUse = async (world: World): Promise<Set<string>> => {
  const used = new Set<string>()
  for (const manifest of await world.manifests()) {
    for (const part of [...manifest.parts, ...manifest.tensors]) used.add(bodyName(part, 'part'))
    for await (const { ref } of chunksOfParts(world.store, manifest.parts)) used.add(bodyName(ref, 'chunk'))
  }
  return used
}

/** What a collector may do to a plan that is not sealed: delete its bodies. */
const collectOne = async ({ world, random }: Actor): Promise<void> => {
  const used = await bodiesInUse(world)
  const free = [...world.names('chunks/'), ...world.names('parts/')].filter((name) => !used.has(name))
  if (free.length > 0) world.store.remove(pick(random, free))
}

const cancelOne = async ({ world, random }: Actor): Promise<void> => {
  const copying = world.rows().filter(({ state }) => state === 'copying')
  if (copying.length === 0) return
  const { source, version, planId } = pick(random, copying)
  const record = { format: 'lifeboat/cancelled', formatVersion: '1.0', cancelledAt: '2026-01-01T00:00:00Z' }
  await world.store.create(objectManifestName(bucketName, source.key, version, planId), toBytes(record))
}

const poisonOne = async ({ world, random }: Actor): Promise<void> => {
  const id = sha256(bodyFor('a.bin', random))
  const plain = noise(90, 77)
  const header = encodeBodyHeader({ codec: 'raw', plainLength: plain.length })
  const body = random() < 0.5 ? plain : Buffer.concat([header, plain])
  await world.store.create(`chunks/${id.slice(0, 2)}/${id}`, body)
}

const deleteOne = async ({ world, random }: Actor): Promise<void> => {
  const objects = await currentOf(world, pick(random, prefixes))
  if (objects.length > 0) world.source.delete(bucketName, pick(random, objects).key)
}

/** Everything is told of again, as a reconcile does, and time passes until nothing changes any more. */
const quiesce = async (world: World): Promise<void> => {
  for (const entry of await toArray(world.source.versions(bucketName, ''))) {
    if (entry.etag === undefined) continue
    const { key, versionId } = entry
    const object = await world.source.head({
      bucket: bucketName,
      key,
      ...(versionId === undefined ? {} : { versionId }),
    })
    if (object) world.announce(object)
  }
  for (let round = 0; round < 6; round += 1) {
    const failed = await world.run({ triesMax: 3 })
    for (const error of failed) if (!isRetryable(error)) throw error
    world.tick(31 * 60_000)
    const swept = await world.sweep()
    if (swept.failed > 0) throw new Error('the sweep failed', { cause: world.telemetry.lines.at(-1)?.fields })
    if (swept.pending === 0 && world.workQueue.messages.length === 0 && round > 0) return
  }
}

const objectProblems = async ({ world, bodies }: Actor, manifests: ObjectManifest[]): Promise<string[]> => {
  const problems: string[] = []
  const sealed = new Map<string, number>()
  for (const manifest of manifests) {
    const name = `${manifest.source.key} ${manifest.source.version}`
    sealed.set(name, (sealed.get(name) ?? 0) + 1)
    const body = bodies.get(name)
    if (!body) problems.push(`${name} was never published`)
    else if (!body.equals(await world.restore(manifest))) problems.push(`${name} comes back as other bytes`)
  }
  for (const [name, times] of sealed) if (times > 1) problems.push(`${name} is sealed ${times} times`)
  for (const entry of await toArray(world.source.versions(bucketName, ''))) {
    if (entry.etag === undefined) continue
    const version = versionOf({ ...entry, etag: entry.etag })
    if (!sealed.has(`${entry.key} ${version}`)) problems.push(`${entry.key} ${version} is not sealed`)
    const row = await world.deps.objects.get(traceIdOf(bucketName, entry.key, version))
    if (row?.state !== 'protected' && row?.state !== 'sealed') problems.push(`${entry.key} is ${row?.state}`)
  }
  for (const { source, state, left } of world.rows())
    if (state === 'copying' || state === 'refused') problems.push(`${source.key} ends as ${state} with ${left} left`)
  return problems
}

/** Two versions of a key in one second, of which S3 does not say which came first: their releases may be ambiguous. */
const hasSharedSecond = async (world: World): Promise<boolean> => {
  const entries = await toArray(world.source.versions(bucketName, ''))
  return new Set(entries.map(({ key, lastModified }) => `${key} ${lastModified}`)).size < entries.length
}

const releaseProblems = async (
  { world, markers, bodies }: Actor,
  manifests: ObjectManifest[],
  allMustSeal: boolean,
): Promise<string[]> => {
  const problems: string[] = []
  const releases = await world.releases()
  for (const release of releases) {
    const found = new Map<string, string>()
    const states = new Set<string>()
    for (const member of release.members) {
      const manifest = manifests.find(
        ({ source, planId }) =>
          source.key === member.key && source.version === member.version && planId === member.planId,
      )
      const bytes = await world.store.read(member.manifest)
      if (!manifest || !bytes || `sha256:${sha256(bytes)}` !== member.manifestDigest)
        problems.push(`release ${release.releaseId} names ${member.key}, which is not in the replica`)
      else {
        states.add(manifest.state)
        found.set(member.path, sha256(bodies.get(`${member.key} ${member.version}`) ?? noise(1)))
      }
    }
    if (release.state !== (states.has('sealed') ? 'sealed' : 'protected'))
      problems.push(`release ${release.releaseId} is ${release.state} of ${[...states].join(', ')}`)
    const marker = markers.find(({ key, version }) => key === release.marker?.key && version === release.marker.version)
    if (release.completeness === 'inferred') continue
    if (!marker) problems.push(`release ${release.releaseId} has no marker that was published`)
    else if (!isDeepStrictEqual(found, marker.expected))
      problems.push(
        `release ${release.releaseId} has ${[...found.keys()].join(', ')}, not ${[...marker.expected.keys()].join(', ')} as published`,
      )
  }
  for (const { key, version } of allMustSeal ? markers : []) {
    const own = releases.filter(({ marker }) => marker?.key === key && marker.version === version)
    if (own.length !== 1) problems.push(`${own.length} releases for marker ${key} ${version}`)
  }
  return problems
}

export type Outcome = { problems: string[]; killed: number; steps: number; logged: string[] }

/** Runs the history of a seed; answers what is wrong at its end, and what happened on the way. */
export const runHistory = async (seed: number): Promise<Outcome> => {
  const random = seeded(seed)
  const versioning = pick(random, ['versioned', 'versioned', 'unversioned', 'suspended'] as const)
  const scheduler = createScheduler(random)
  const world = createWorld({
    versioning,
    seed,
    segmentBytesMax: pick(random, [17, 40, 400]),
    onStep: scheduler.onStep,
  })
  const marker = pick(random, ['_PUBLISH.json', '_SUCCESS'])
  const actor: Actor = { world, random, markers: [], bodies: new Map(), marker }
  const crashRate = pick(random, [0, 0.003, 0.02])
  let killed = 0
  const deliver = async (): Promise<void> => {
    const calls = Array.from({ length: pick(random, [1, 2, 3]) }, () => world.take(random)).filter(
      (call) => call !== undefined,
    )
    killed += await scheduler.run(calls, crashRate)
  }
  const actions: [weight: number, act: () => Promise<void> | void][] = [
    [
      5,
      () => {
        const path = pick(random, paths)
        const put = publish(actor, pick(random, prefixes) + path, bodyFor(path, random), pick(random, checksums))
        world.tick(put.size % 2 === 0 ? 700 : 3000)
      },
    ],
    [2, async () => publishMarker(actor)],
    [14, deliver],
    [0.5, () => void world.ready.splice(Math.floor(random() * 3), 1)],
    [0.5, () => void world.workQueue.messages.splice(Math.floor(random() * 3), 1)],
    [0.5, async () => void (killed += await scheduler.run([async () => world.sweep()], crashRate))],
    [0.5, async () => collectOne(actor)],
    [0.5, async () => cancelOne(actor)],
    [0.5, async () => poisonOne(actor)],
    // Without versions nothing tells a file that was deleted before anybody saw it from one that never was.
    [versioning === 'versioned' ? 0.5 : 0, async () => deleteOne(actor)],
  ]
  const total = actions.reduce((sum, [weight]) => sum + weight, 0)
  for (let step = 0; step < 18; step += 1) {
    let at = random() * total
    const chosen = actions.find(([weight]) => (at -= weight) < 0)
    await chosen?.[1]()
  }
  await quiesce(world)
  const manifests = await world.manifests()
  const problems = [
    ...(await objectProblems(actor, manifests)),
    ...(await releaseProblems(actor, manifests, versioning === 'versioned' && !(await hasSharedSecond(world)))),
  ]
  return { problems, killed, steps: scheduler.steps(), logged: world.telemetry.lines.map(({ message }) => message) }
}
