import { execFile } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  type AttributeValue,
  DeleteItemCommand,
  DescribeTableCommand,
  DynamoDBClient,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb'
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../cli/context.ts'
import { until } from '../support/stack.ts'

/**
 * One object and one item through a deployment, and back from the replica. Writes into the buckets and tables of
 * lifeboat.yml: an object `lifeboat-smoke-ID.bin` under the prefix of each, and an item beside the canaries of each table
 * (where it has none, one whose partition key begins with LIFEBOAT_TEST_CLOUD_PARTITION, where that is set). Both are
 * removed in the source afterwards; the replica keeps them as long as its retention says.
 */

const { env } = process
if (env['LIFEBOAT_TEST_CLOUD'] !== 'yes')
  throw new Error(
    'this writes into the buckets and tables of lifeboat.yml: set LIFEBOAT_TEST_CLOUD=yes, LIFEBOAT_STAGE and LIFEBOAT_CONFIG',
  )
const stage = env['LIFEBOAT_STAGE'] ?? 'dev'
const configFile = env['LIFEBOAT_CONFIG']
const config = await loadConfig(
  { cwd: process.cwd() },
  { stage, ...(configFile === undefined ? {} : { config: configFile }) },
)
const { region } = config.source
const waitMs = 15 * 60_000

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-smoke-'))
const s3 = new S3Client({ region, forcePathStyle: env['AWS_ENDPOINT_URL_S3'] !== undefined })
const dynamodb = new DynamoDBClient({ region })
afterAll(() => {
  s3.destroy()
  dynamodb.destroy()
  rmSync(dir, { recursive: true, force: true })
})

const command = fileURLToPath(new URL('../../cli/lifeboat.mjs', import.meta.url))
/** The command with the Google credentials of this environment and nothing of AWS. */
const lifeboat = async (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
  const withoutAws = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('AWS_')))
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [command, ...args], { env: withoutAws })) }
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: number; stdout?: string; stderr?: string }
    return { code: code ?? 1, stdout, stderr }
  }
}

describe.each(config.buckets)('bucket $name, $prefix', ({ name: Bucket, prefix }) => {
  const Key = `${prefix}lifeboat-smoke-${randomUUID()}.bin`
  const body = randomBytes(3 * 2 ** 20)
  afterAll(() => s3.send(new DeleteObjectCommand({ Bucket, Key })))

  test('an object that is put is protected, and comes back identical without AWS', async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: body }))
    const folder = join(dir, Bucket)
    let last = ''
    await until(
      async () => {
        const { code, stderr } = await lifeboat('restore', `s3://${Bucket}/${Key}`, '--to', folder, '--quiet')
        last = stderr
        return code === 0
      },
      async () => `s3://${Bucket}/${Key} in the replica: ${last}`,
      waitMs,
    )
    const [file] = readdirSync(folder)
    expect(readFileSync(join(folder, file ?? '')).equals(body)).toBe(true)
  })
})

const partitionDefault = env['LIFEBOAT_TEST_CLOUD_PARTITION']
const tables = config.tables.flatMap(({ name, canary }) => {
  const partition = canary?.partition ?? partitionDefault
  return partition === undefined ? [] : [{ name, partition, sort: canary?.sort ?? '0' }]
})
describe.skipIf(tables.length === 0).each(tables)('table $name', ({ name: TableName, partition, sort }) => {
  let key: Record<string, AttributeValue> = {}
  afterAll(() => dynamodb.send(new DeleteItemCommand({ TableName, Key: key })))

  const keyOf = async (): Promise<Record<string, AttributeValue>> => {
    const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName }))
    const typeOf = (name: string) =>
      Table?.AttributeDefinitions?.find((one) => one.AttributeName === name)?.AttributeType
    const values = { HASH: `${partition}-smoke-${randomUUID()}`, RANGE: sort }
    return Object.fromEntries(
      (Table?.KeySchema ?? []).map(({ AttributeName = '', KeyType = 'HASH' }) => {
        if (typeOf(AttributeName) === 'N') {
          const number = KeyType === 'HASH' ? String(BigInt(`0x${randomBytes(6).toString('hex')}`)) : values.RANGE
          return [AttributeName, { N: number }]
        }
        return [AttributeName, { S: values[KeyType] }]
      }),
    )
  }
  const stateOf = async (): Promise<{ state?: string; item?: unknown }> => {
    const { stdout } = await lifeboat('rows', 'get', TableName, JSON.stringify(key), '--json')
    return stdout === '' ? {} : (JSON.parse(stdout) as { state?: string; item?: unknown })
  }

  test('an item that is put is read from the replica, and so is its removal', async () => {
    key = await keyOf()
    const item = { ...key, score: { N: '0.12345678901234567890123456789012345678' } }
    await dynamodb.send(new PutItemCommand({ TableName, Item: item }))
    let last: unknown
    await until(
      async () => {
        const found = await stateOf()
        last = found
        return found.item !== undefined && found.item !== null
      },
      async () => `the item in the replica: ${JSON.stringify(last)}`,
      waitMs,
    )
    expect((await stateOf()).item).toEqual(item)
    await dynamodb.send(new DeleteItemCommand({ TableName, Key: key }))
    await until(async () => !(await stateOf()).item, 'the removal of the item in the replica', waitMs)
  })
})
