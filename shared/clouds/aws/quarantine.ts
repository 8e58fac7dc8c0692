import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { z } from 'zod'
import { mapInOrder } from '../../bounded.ts'
import { CorruptError, NotFoundError } from '../../errors.ts'
import type { OnUnreadable, Quarantine, Quarantined } from '../../features/deps.ts'
import { givenUpFolder, quarantineFolder, quarantineName, redrivenName } from '../../features/quarantine-name.ts'
import { translated } from './errors.ts'

const readsInFlight = 8

const schema = z.object({
  v: z.literal(1),
  table: z.string(),
  streamArn: z.string(),
  sequenceNumber: z.string(),
  reason: z.string(),
  at: z.number(),
  record: z.unknown(),
})

const parseQuarantined = (name: string, text: string): Quarantined => {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new CorruptError(`${name} is not a quarantined change: move it out of quarantine/ and look at it`, { cause })
  }
}

/** Lambda's own words around the event that it would have handed over. */
const givenUpSchema = z.object({ payload: z.string() })
const payloadSchema = z.object({ Records: z.array(z.unknown()) })

/** The stream's records in a file below `aws/lambda/`. */
export const parseGivenUp = (name: string, text: string): unknown[] => {
  try {
    return payloadSchema.parse(JSON.parse(givenUpSchema.parse(JSON.parse(text)).payload)).Records
  } catch (cause) {
    throw new CorruptError(
      `${name} is not a batch that Lambda gave up: move it out of ${givenUpFolder} and look at it`,
      {
        cause,
      },
    )
  }
}

/** Changes as JSON objects below `quarantine/`, those that were redriven below `redriven/`; names as of quarantine-name.ts. */
export const createS3Quarantine = ({ s3, bucket }: { s3: S3Client; bucket: string }): Quarantine => {
  const at = (name: string): string => `s3://${bucket}/${name}`
  const read = async (name: string): Promise<{ name: string; text: string } | undefined> => {
    try {
      const text = await translated(`read ${at(name)}`, async () => {
        const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: name }))
        return Body?.transformToString()
      })
      return { name, text: text ?? '' }
    } catch (error) {
      // Another redrive was faster.
      if (error instanceof NotFoundError) return undefined
      throw error
    }
  }
  const readable = <T>(
    { name, text }: { name: string; text: string },
    parse: (name: string, text: string) => T,
    onUnreadable: OnUnreadable | undefined,
  ): T | undefined => {
    try {
      return parse(at(name), text)
    } catch (error) {
      if (!onUnreadable || !(error instanceof CorruptError)) throw error
      onUnreadable(name, error)
      return undefined
    }
  }
  async function* names(prefix: string): AsyncGenerator<string> {
    const pages = paginateListObjectsV2({ client: s3 }, { Bucket: bucket, Prefix: prefix })
    for (;;) {
      const page = await translated(`list ${at(prefix)}`, () => pages.next())
      if (page.done) return
      for (const { Key } of page.value.Contents ?? []) if (Key !== undefined) yield Key
    }
  }
  return {
    put: async (change) => {
      const name = quarantineName(change)
      const object = { Bucket: bucket, Key: name, Body: JSON.stringify(change), ContentType: 'application/json' }
      await translated(`write ${at(name)}`, () => s3.send(new PutObjectCommand(object)))
    },
    list: async function* (table, onUnreadable) {
      for await (const found of mapInOrder(names(quarantineFolder(table)), readsInFlight, read)) {
        const change = found && readable(found, parseQuarantined, onUnreadable)
        if (found && change) yield { name: found.name, change }
      }
    },
    givenUp: async function* (onUnreadable) {
      // One at a time: each may be as large as an invocation.
      for await (const name of names(givenUpFolder)) {
        const found = await read(name)
        const records = found && readable(found, parseGivenUp, onUnreadable)
        if (records) yield { name, records }
      }
    },
    done: async (name) => {
      const source = `${bucket}/${name.split('/').map(encodeURIComponent).join('/')}`
      try {
        await translated(`copy ${at(name)}`, () =>
          s3.send(new CopyObjectCommand({ Bucket: bucket, Key: redrivenName(name), CopySource: source })),
        )
      } catch (error) {
        if (error instanceof NotFoundError) return
        throw error
      }
      await translated(`delete ${at(name)}`, () => s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: name })))
    },
  }
}
