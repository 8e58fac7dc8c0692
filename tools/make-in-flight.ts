import type { DynamoDBRecord } from 'aws-lambda'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { emptyLagState, writeLagState } from '../shared/proof/lag-state.ts'
import { commitObject } from '../shared/weights/commit.ts'
import { traceIdOf, versionOf } from '../shared/weights/identity.ts'
import { receiveMessage } from '../shared/weights/receive.ts'
import { work } from '../shared/weights/work.ts'
import { type InFlight, openInFlight } from '../test/support/in-flight.ts'
import { ample, bucketName, eventOf } from '../test/support/weights-world.ts'

/**
 * Writes `test/fixtures/in-flight-1.0`, the work in flight that a later version must finish: `node tools/make-in-flight.ts
 * NEW_FOLDER`. The pipeline makes it and is left in the middle: objects in every state, a release that waits, both kinds of
 * work messages, also cut by a deadline, and the records of the ledger's stream that nobody has handled.
 */

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: node tools/make-in-flight.ts NEW_FOLDER')
mkdirSync(join(folder, 'replica'), { recursive: true })
if (readdirSync(folder).length > 1) throw new Error(`${folder} is not empty`)

const { world, objects, state, items, records, close } = await openInFlight(join(folder, 'replica'))
const { deps, workQueue } = world
const noTime = { remainingMs: () => 0 }

const objectOf = (key: string) => {
  const object = objects.get(key)
  if (!object) throw new Error(`no object ${key}`)
  return object
}
const traceOf = (key: string): string => traceIdOf(bucketName, key, versionOf(objectOf(key)))

const plan = async (key: string, segmentBytesMax?: number): Promise<void> => {
  if (segmentBytesMax !== undefined) deps.segmentBytesMax = segmentBytesMax
  await receiveMessage(deps, eventOf(objectOf(key)))
  delete deps.segmentBytesMax
}

/** Handles `count` messages of an object, oldest first. */
const handle = async (key: string, count: number, deadline = ample): Promise<void> => {
  const traceId = traceOf(key)
  for (let done = 0; done < count; done += 1) {
    const at = workQueue.messages.findIndex((text) => text.includes(traceId))
    const [message] = at < 0 ? [] : workQueue.messages.splice(at, 1)
    if (message === undefined) throw new Error(`no message of ${key}`)
    await work(deps, message, deadline)
  }
}

const protect = async (key: string, segmentBytesMax?: number): Promise<void> => {
  await plan(key, segmentBytesMax)
  while (workQueue.messages.some((text) => text.includes(traceOf(key)))) await handle(key, 1)
  await commitObject(deps, traceOf(key), ample)
}

await plan('planned.bin', 1000)
await plan('half.bin', 1000)
await handle('half.bin', 1)
await plan('ready.bin')
await handle('ready.bin', 1)
await plan('sharded.bin', 1000)
await handle('sharded.bin', 4)
await plan('cut.bin')
await handle('cut.bin', 1, noTime)
// In two segments, so that its SHA-256 takes a second read.
await plan('digested.bin', 5 * 2 ** 20)
await handle('digested.bin', 2)
await commitObject(deps, traceOf('digested.bin'), ample)
await handle('digested.bin', 1, noTime)
await plan('parts.bin', 700)
await handle('parts.bin', 3)
await commitObject(deps, traceOf('parts.bin'), ample)
await handle('parts.bin', 1)
await protect('repaired.bin', 400)
await protect('tiny/v1/config.json')
await plan('tiny/v1/model.bin', 1000)
await handle('tiny/v1/model.bin', 1)
await protect('tiny/v1/_SUCCESS')
await deps.releases.request(bucketName, 'tiny/v1/', world.now())
await writeLagState(
  state,
  {
    ...emptyLagState,
    queues: { 'lifeboat-prod-objects': { emptyAt: world.now() } },
    objects: { 's3://models/canary': { waiting: [{ traceId: 't', at: 1 }], writtenAt: 2, protectedAt: 1 } },
    tables: { users: { streamArn: 'arn', shards: { 'shardId-1': 3 }, next: 4, featureTime: 5 } },
  },
  undefined,
)
await state.write(
  'validate',
  {
    last: {
      startedAt: '2026-01-01T00:00:00.000Z',
      at: '2026-01-01T00:01:00.000Z',
      outcome: 'passed',
      report: 'reports/validate/x.json',
      findings: 0,
      sentInARow: 0,
    },
  },
  undefined,
)

const asked = objectOf('asked.bin')
const repaired = objectOf('repaired.bin')
const planOf = { lifeboat: 1, kind: 'plan', bucket: bucketName }
/** What the function's event source lets through. */
const isOrder = ({ eventName, dynamodb }: Awaited<ReturnType<typeof records>>[number]): boolean =>
  eventName !== 'REMOVE' && dynamodb?.NewImage?.['state']?.S === 'copying' && dynamodb.NewImage['left']?.N === '0'

const inFlight: InFlight = {
  ledger: await items(),
  objectsQueue: [
    eventOf(objectOf('announced.bin')),
    JSON.stringify({ ...planOf, key: asked.key, versionId: asked.versionId }),
    JSON.stringify({
      ...planOf,
      key: repaired.key,
      versionId: repaired.versionId,
      attempt: 1,
      traceId: traceOf(repaired.key),
      repair: { bodies: [] },
    }),
  ],
  segmentsQueue: [...workQueue.messages],
  commitStream: (await records()).filter(isOrder).map((record) => {
    const { ApproximateCreationDateTime: at, ...change } = record.dynamodb ?? {}
    return {
      ...record,
      dynamodb: { ...change, ...(at && { ApproximateCreationDateTime: at.getTime() / 1000 }) },
    } as DynamoDBRecord
  }),
}
await close()
for (const [name, list] of Object.entries(inFlight))
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(list, undefined, 1)}\n`)
