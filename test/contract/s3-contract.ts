import { randomUUID } from 'node:crypto'
import { CreateBucketCommand, type S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checksumChecks } from './s3-contract-checksums.ts'
import { listingChecks } from './s3-contract-listing.ts'
import { multipartChecks } from './s3-contract-multipart.ts'
import { objectChecks } from './s3-contract-objects.ts'
import { readChecks } from './s3-contract-reads.ts'
import { uploadChecksumChecks } from './s3-contract-upload-checksums.ts'
import { versionChecks } from './s3-contract-versions.ts'
import type { Checks } from './s3-support.ts'

/**
 * Runs every check of S3's behaviour against one server. A check named in `knownBugs` (name -> what that server does
 * wrong) must fail there: when it passes, the list is out of date.
 */
export const s3Contract = (
  name: string,
  start: () => Promise<{ client: S3Client; stop: () => Promise<void> }>,
  { knownBugs }: { knownBugs: Record<string, string> },
): void => {
  describe(`S3 contract: ${name}`, () => {
    const checks: Checks = {
      ...objectChecks,
      ...readChecks,
      ...checksumChecks,
      ...versionChecks,
      ...multipartChecks,
      ...uploadChecksumChecks,
      ...listingChecks,
    }
    let server: Awaited<ReturnType<typeof start>>
    beforeAll(async () => {
      server = await start()
    })
    afterAll(async () => server?.stop())

    test('every known bug names a check', () => {
      expect(Object.keys(knownBugs).filter((bug) => !(bug in checks))).toEqual([])
    })

    for (const [title, check] of Object.entries(checks)) {
      const bug = knownBugs[title]
      test(`${title}${bug === undefined ? '' : ` (known bug: ${bug})`}`, async () => {
        const bucket = `contract-${randomUUID()}`
        await server.client.send(new CreateBucketCommand({ Bucket: bucket }))
        const behaviour = await check({ client: server.client, bucket }).then(
          () => 'as S3',
          (error: unknown) => {
            if (bug === undefined) throw error
            return 'otherwise'
          },
        )
        expect(behaviour).toBe(bug === undefined ? 'as S3' : 'otherwise')
      })
    }
  })
}
