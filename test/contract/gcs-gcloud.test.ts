import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { ADMIN, base64Crc, gcsFixture, md5 } from '../support/gcs.ts'
import { findTool } from '../support/tools.ts'

const run = promisify(execFile)
const gcloud = findTool('gcloud')
const { server, newBucket } = gcsFixture()

/** Google's own client against the embedded service: a second opinion on the wire format. */
describe.skipIf(gcloud === undefined)('gcloud storage', { timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-gcloud-'))
  const file = join(folder, 'body')
  const body = randomBytes(20 * 2 ** 20)
  writeFileSync(file, body)
  afterAll(() => rmSync(folder, { recursive: true }))

  const storage = async (args: string[], settings: Record<string, string> = {}, principal = ADMIN): Promise<string> => {
    const token = join(folder, principal)
    writeFileSync(token, principal)
    const env = {
      ...process.env,
      CLOUDSDK_CONFIG: join(folder, 'config'),
      CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${server().url}/`,
      CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: token,
      CLOUDSDK_CORE_PROJECT: 'p',
      CLOUDSDK_CORE_DISABLE_PROMPTS: '1',
      ...settings,
    }
    return (await run(gcloud!, ['storage', ...args], { env, maxBuffer: 64 * 2 ** 20 })).stdout
  }
  const download = async (url: string): Promise<Buffer> => {
    const to = join(folder, 'download')
    await storage(['cp', url, to])
    const found = readFileSync(to)
    rmSync(to)
    return found
  }

  it('copies up and down, lists, describes and removes', async () => {
    const { name } = await newBucket()
    await storage(['cp', file, `gs://${name}/dir/o`])
    expect(await storage(['ls', '-r', `gs://${name}/`])).toBe(
      `gs://${name}/:\n\ngs://${name}/dir/:\ngs://${name}/dir/o\n`,
    )
    const described = await storage(['objects', 'describe', `gs://${name}/dir/o`, '--format=json'])
    expect(JSON.parse(described)).toMatchObject({
      size: body.length,
      crc32c_hash: base64Crc(body),
      md5_hash: md5(body),
    })
    expect((await download(`gs://${name}/dir/o`)).equals(body)).toBe(true)
    await storage(['objects', 'update', `gs://${name}/dir/o`, '--custom-metadata=a=b'])
    expect(await storage(['objects', 'describe', `gs://${name}/dir/o`, '--format=value(custom_fields.a)'])).toBe('b\n')
    await expect(storage(['cp', '--if-generation-match=0', file, `gs://${name}/dir/o`])).rejects.toThrow(/412/)
    await storage(['rm', '-r', `gs://${name}/dir`])
    expect(await storage(['ls', `gs://${name}/`])).toBe('')
  })

  it('uploads in parallel parts that it composes, copies in the cloud and prints', async () => {
    const { name } = await newBucket()
    const composite = {
      CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_ENABLED: 'true',
      CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_THRESHOLD: '5M',
      CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_COMPONENT_SIZE: '11M',
    }
    await storage(['cp', file, `gs://${name}/parts`], composite)
    const described = JSON.parse(
      await storage(['objects', 'describe', `gs://${name}/parts`, '--format=json']),
    ) as object
    expect(described).toMatchObject({ component_count: 2, crc32c_hash: base64Crc(body) })
    expect(described).not.toHaveProperty('md5_hash')
    await storage(['cp', `gs://${name}/parts`, `gs://${name}/copy`])
    expect((await download(`gs://${name}/copy`)).equals(body)).toBe(true)
    writeFileSync(join(folder, 'short'), 'short text')
    await storage(['cp', join(folder, 'short'), `gs://${name}/short`])
    expect(await storage(['cat', `gs://${name}/short`])).toBe('short text')
    expect(await storage(['ls', `gs://${name}/`])).toBe(`gs://${name}/copy\ngs://${name}/parts\ngs://${name}/short\n`)
  })

  it('keeps versions and says why a principal may not', async () => {
    const { name } = await newBucket({ versioning: { enabled: true } })
    for (const text of ['one', 'two']) {
      writeFileSync(join(folder, 'v'), text)
      await storage(['cp', join(folder, 'v'), `gs://${name}/v`])
    }
    const versions = (await storage(['ls', '-a', `gs://${name}/v`])).trim().split('\n')
    expect(versions).toHaveLength(2)
    expect(await storage(['cat', versions[0]!])).toBe('one')
    const refused = storage(['rm', `gs://${name}/v`], {}, 'lifeboat-restorer')
    await expect(refused).rejects.toThrow(/does not have storage.objects.delete access/)
  })
})
