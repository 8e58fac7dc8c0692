import { GetObjectCommand, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { NotFoundError } from '../../errors.ts'
import { quarantineFolder } from '../../features/quarantine-name.ts'
import type { Quarantined, QuarantineCensus } from '../../proof/lag-deps.ts'
import { translated } from './errors.ts'

/** Past this many the counts are lower bounds. */
const namesMax = 20_000

type Named = { name: string; putAt: number }

/** When the change came to be, where its record says so: it was put later. */
const changedAt = async (s3: S3Client, bucket: string, { name, putAt }: Named): Promise<number> => {
  try {
    const text = await translated(`read s3://${bucket}/${name}`, async () => {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: name }))
      return Body?.transformToString()
    })
    const { record } = JSON.parse(text ?? '') as {
      record?: { dynamodb?: { ApproximateCreationDateTime?: unknown } }
    }
    const second = record?.dynamodb?.ApproximateCreationDateTime
    return typeof second === 'number' ? Math.min(putAt, second * 1000) : putAt
  } catch (error) {
    // Whatever lies there, it has lain there since; what was redriven meanwhile had.
    if (error instanceof SyntaxError || error instanceof NotFoundError) return putAt
    throw error
  }
}

/**
 * Counts by names alone, as of quarantine-name.ts. Names of a stream order as its changes do, so that the first of each is
 * the oldest and the only one that is read.
 */
export const createQuarantineCensus = ({ s3, bucket }: { s3: S3Client; bucket: string }): QuarantineCensus => ({
  take: async () => {
    const found = new Map<string, { count: number; firsts: Map<string, Named>; oldestPutAt: number }>()
    const pages = paginateListObjectsV2({ client: s3 }, { Bucket: bucket, Prefix: quarantineFolder() })
    let names = 0
    for (;;) {
      const page = await translated(`list s3://${bucket}/${quarantineFolder()}`, () => pages.next())
      if (page.done || names >= namesMax) break
      for (const { Key = '', LastModified } of page.value.Contents ?? []) {
        const [, table = '', stream = ''] = Key.split('/')
        const putAt = LastModified?.getTime() ?? 0
        const of = found.get(table) ?? { count: 0, firsts: new Map<string, Named>(), oldestPutAt: Infinity }
        found.set(table, of)
        of.count += 1
        of.oldestPutAt = Math.min(of.oldestPutAt, putAt)
        if (!of.firsts.has(stream)) of.firsts.set(stream, { name: Key, putAt })
        names += 1
      }
    }
    const census = new Map<string, Quarantined>()
    for (const [table, { count, firsts, oldestPutAt }] of found) {
      const times: number[] = []
      for (const first of firsts.values()) times.push(await changedAt(s3, bucket, first))
      census.set(table, { count, oldestAt: Math.min(oldestPutAt, ...times) })
    }
    return census
  },
})
