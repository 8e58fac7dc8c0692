import {
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  PutItemCommand,
  ScanCommand,
} from '@aws-sdk/client-dynamodb'
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams'
import type { DynamoDBRecord } from 'aws-lambda'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { createChunkIndex } from '../../shared/clouds/aws/chunk-index.ts'
import { createObjectLedger } from '../../shared/clouds/aws/object-ledger.ts'
import { createProofState } from '../../shared/clouds/aws/proof-state.ts'
import { createChain, createReleaseLedger } from '../../shared/clouds/aws/release-ledger.ts'
import { createDigestLedger, createSegmentLedger } from '../../shared/clouds/aws/segment-ledger.ts'
import type { SourceObject } from '../../shared/ports.ts'
import { readStream, withStream } from './dynamodb-streams.ts'
import { createFolderStore } from './folder-store.ts'
import { ledgerShape } from './ledger-shape.ts'
import { createWorld, noise, type World } from './weights-world.ts'

/** Work in flight as one version leaves it in ledger, queues and replica: tools/make-in-flight.ts writes it, a test finishes it. */

export type LedgerItem = NonNullable<PutItemCommand['input']['Item']>

export type InFlight = {
  ledger: LedgerItem[]
  /** Bodies of messages, oldest first. */
  objectsQueue: string[]
  segmentsQueue: string[]
  /** Records of the ledger's stream as Lambda hands them over. */
  commitStream: DynamoDBRecord[]
}

/** Small, so that a plan of few segments has counters of its own. */
export const segmentsPerCounter = 2

const mib = 2 ** 20
/** Three chunks of little entropy, so that a deadline can fall between them. */
const large = (seed: number): Buffer =>
  Buffer.concat(Array.from({ length: 9 }, (_, index) => Buffer.alloc(mib, `${seed} ${index} `)))

const release = {
  'tiny/v1/config.json': Buffer.from('{"layers": 2}'),
  'tiny/v1/model.bin': noise(1500, 11),
}

const sha256Parts = { partBytes: 1000, checksum: { algorithm: 'SHA256', type: 'COMPOSITE' } } as const
const sha256Whole = { checksum: { algorithm: 'SHA256', type: 'FULL_OBJECT' } } as const

/** Bodies by key, with how S3 holds their checksums where that is not the default. */
export const bodies: Record<string, { body: Buffer; put?: typeof sha256Whole | typeof sha256Parts }> = {
  'planned.bin': { body: noise(2500, 1) },
  'half.bin': { body: noise(2500, 2) },
  'ready.bin': { body: noise(800, 3) },
  'sharded.bin': { body: noise(6000, 4) },
  'cut.bin': { body: large(5), put: sha256Whole },
  'digested.bin': { body: large(6), put: sha256Whole },
  'parts.bin': { body: noise(2000, 10), put: sha256Parts },
  'announced.bin': { body: noise(300, 7) },
  'asked.bin': { body: noise(300, 8) },
  'repaired.bin': { body: noise(900, 9) },
  'tiny/v1/config.json': { body: release['tiny/v1/config.json'] },
  'tiny/v1/model.bin': { body: release['tiny/v1/model.bin'] },
  'tiny/v1/_SUCCESS': { body: Buffer.from('done') },
}

/** Everything in the source, in the same versions each time; nothing is announced. */
export const fillSource = (world: World): Map<string, SourceObject> =>
  new Map(
    Object.entries(bodies).map(([key, { body, put }]) => {
      const object = world.publish(key, body, { quiet: true, ...put })
      world.tick(1000)
      return [key, object]
    }),
  )

/** The pipeline over a ledger in an embedded DynamoDB and a replica in a folder. */
export const openInFlight = async (replica: string) => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-in-flight-'))
  const server = await startDynamoDb({ dir })
  const options = { endpoint: server.url, region: 'us-east-1', credentials: { accessKeyId: 'x', secretAccessKey: 'x' } }
  const client = new DynamoDBClient(options)
  const streams = new DynamoDBStreamsClient(options)
  const table = 'ledger'
  await client.send(new CreateTableCommand({ TableName: table, ...ledgerShape(), ...withStream() }))
  const describe = async () => (await client.send(new DescribeTableCommand({ TableName: table }))).Table
  while ((await describe())?.TableStatus !== 'ACTIVE');
  const world = createWorld()
  Object.assign(world.deps, {
    store: createFolderStore(replica),
    objects: createObjectLedger(client, table, segmentsPerCounter),
    segments: createSegmentLedger(client, table, segmentsPerCounter),
    digests: createDigestLedger(client, table),
    chunks: createChunkIndex(client, table),
    releases: createReleaseLedger(client, table),
    chain: createChain(client, table),
  })
  return {
    world,
    objects: fillSource(world),
    client,
    table,
    state: createProofState(client, table),
    items: async (): Promise<LedgerItem[]> =>
      (await client.send(new ScanCommand({ TableName: table, ConsistentRead: true }))).Items ?? [],
    load: async (items: readonly LedgerItem[]) => {
      // Units are forgotten after 60 days; these would be, by the time that a test reads them.
      const expiresAt = { N: String(Math.floor(Date.now() / 1000) + 86_400) }
      for (const item of items)
        await client.send(
          new PutItemCommand({ TableName: table, Item: { ...item, ...(item['expiresAt'] && { expiresAt }) } }),
        )
    },
    records: async () => readStream(streams, (await describe())?.LatestStreamArn ?? ''),
    close: async () => {
      client.destroy()
      streams.destroy()
      await server.close()
      rmSync(dir, { recursive: true })
    },
  }
}
