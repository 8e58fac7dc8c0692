import { encryptionHeaders, etagOf, readAbout, readTagsHeader } from './about.ts'
import { type Answer, type Call, change } from './call.ts'
import type { Checksum } from './checksums.ts'
import { checkWriteConditions } from './conditions.ts'
import { announce } from './events.ts'
import { declaredAlgorithm, receiveBody, type Received, wantsNoChecksum } from './receive.ts'
import { checksumHeaders, insertVersion, requireBucket, versionHeader } from './versions.ts'

/** What S3 keeps of a single body: the client's checksum, else its own CRC64NVME. */
const keptChecksum = (call: Call, received: Received): Checksum | undefined => {
  if (wantsNoChecksum(call)) return undefined
  const algorithm = received.declared ?? 'CRC64NVME'
  const value = received.checksums.get(algorithm)
  return value === undefined ? undefined : { algorithm, type: 'FULL_OBJECT', value }
}

export const putObject = async (call: Call): Promise<Answer> => {
  const { s3 } = call
  requireBucket(s3.store, call.bucket)
  const about = readAbout(call)
  const tags = readTagsHeader(call)
  checkWriteConditions(call)
  const received = await receiveBody(call, declaredAlgorithm(call) || wantsNoChecksum(call) ? [] : ['CRC64NVME'])
  const checksum = keptChecksum(call, received)
  try {
    const { bucket, row } = change(s3, (dropped) => {
      const target = requireBucket(s3.store, call.bucket)
      checkWriteConditions(call)
      const inserted = insertVersion(
        s3.store,
        target,
        {
          key: call.key,
          marker: false,
          modified: s3.now(),
          size: received.size,
          etag: etagOf(about, received.md5),
          about,
          tags,
          ...(checksum ? { checksum } : {}),
          parts: [{ number: 1, body: received.writer.id, size: received.size, checksum: checksum?.value ?? null }],
        },
        dropped,
      )
      announce(call, target, { name: 'ObjectCreated:Put', reason: 'PutObject', row: inserted })
      return { bucket: target, row: inserted }
    })
    return {
      status: 200,
      headers: {
        etag: `"${row.etag}"`,
        ...encryptionHeaders(about),
        ...checksumHeaders(row),
        ...versionHeader(bucket, row),
      },
    }
  } catch (error) {
    await received.writer.discard()
    throw error
  }
}
