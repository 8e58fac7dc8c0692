import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../support/tools.ts'
import { bytesOf, mebibyte, startEmbedded } from './s3-support.ts'

const aws = findTool('aws')

describe.skipIf(!aws)('the aws CLI against the embedded S3', { timeout: 120_000 }, () => {
  let embedded: Awaited<ReturnType<typeof startEmbedded>>
  let work: string
  beforeAll(async () => {
    embedded = await startEmbedded()
    work = await mkdtemp(join(tmpdir(), 's3-cli-'))
    await run('s3', 'mb', 's3://cli')
    await run('s3api', 'put-bucket-versioning', '--bucket', 'cli', '--versioning-configuration', 'Status=Enabled')
  })
  afterAll(async () => {
    await embedded?.stop()
    if (work) await rm(work, { recursive: true, force: true })
  })

  const run = async (...args: (string | string[])[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(aws!, ['--endpoint-url', embedded.server.url, ...args.flat()], {
      env: {
        PATH: process.env['PATH'],
        HOME: work,
        AWS_ACCESS_KEY_ID: 'x',
        AWS_SECRET_ACCESS_KEY: 'x',
        AWS_DEFAULT_REGION: 'us-east-1',
        AWS_DEFAULT_OUTPUT: 'json',
      },
    })
    return stdout
  }
  const json = async <T>(...args: (string | string[])[]): Promise<T> => JSON.parse(await run(...args)) as T

  test('a 20 MiB file goes up in parts and comes back whole', async () => {
    const bytes = bytesOf(20 * mebibyte, 5)
    await writeFile(join(work, 'weights.bin'), bytes)
    await run('s3', 'cp', join(work, 'weights.bin'), 's3://cli/models/a b+1/weights.bin')
    const head = await json<{ ETag: string; ContentLength: number; ChecksumType: string }>(
      ['s3api', 'head-object', '--bucket', 'cli', '--key', 'models/a b+1/weights.bin'],
      ['--checksum-mode', 'ENABLED'],
    )
    expect(head.ETag).toMatch(/^"[0-9a-f]{32}-3"$/)
    expect(head.ContentLength).toBe(bytes.length)
    await run('s3', 'cp', 's3://cli/models/a b+1/weights.bin', join(work, 'back.bin'))
    expect((await readFile(join(work, 'back.bin'))).equals(bytes)).toBe(true)
    await run('s3', 'cp', 's3://cli/models/a b+1/weights.bin', 's3://cli/models/copied.bin')
    await run('s3', 'cp', 's3://cli/models/copied.bin', join(work, 'copied.bin'))
    expect((await readFile(join(work, 'copied.bin'))).equals(bytes)).toBe(true)
  })

  test('ls shows sizes and folders', async () => {
    await writeFile(join(work, 'small'), 'hello')
    await run('s3', 'cp', join(work, 'small'), 's3://cli/ls/one é')
    await run('s3', 'cp', join(work, 'small'), 's3://cli/ls/in/two')
    const listed = await run('s3', 'ls', 's3://cli/ls/')
    expect(listed).toMatch(/PRE in\/\n/)
    expect(listed).toMatch(/\s5 one é\n/)
    expect((await run('s3', 'ls', '--recursive', 's3://cli/ls/')).trim().split('\n')).toHaveLength(2)
  })

  test('get-object reads a range of a version', async () => {
    const put = async (text: string) => {
      await writeFile(join(work, 'body'), text)
      return json<{ VersionId: string; ETag: string }>(
        ['s3api', 'put-object', '--bucket', 'cli', '--key', 'k', '--body', join(work, 'body')],
        ['--checksum-algorithm', 'SHA256'],
      )
    }
    const first = await put('0123456789')
    await put('another')
    const out = join(work, 'range')
    await run(
      ['s3api', 'get-object', '--bucket', 'cli', '--key', 'k', '--version-id', first.VersionId],
      ['--range', 'bytes=2-4', '--if-match', first.ETag, out],
    )
    expect(await readFile(out, 'utf8')).toBe('234')
  })

  test('sync copies what is new, deletes what is gone and then has nothing to do', async () => {
    const tree = join(work, 'tree')
    await mkdir(join(tree, 'deep er'), { recursive: true })
    // S3 knows its times to the second: a file of this very second would look newer than its copy.
    const earlier = new Date(Date.now() - 60_000)
    for (const name of ['a', 'b+c', 'deep er/d']) {
      await writeFile(join(tree, name), name)
      await utimes(join(tree, name), earlier, earlier)
    }
    await run('s3', 'sync', tree, 's3://cli/sync')
    expect(await run('s3', 'sync', tree, 's3://cli/sync')).toBe('')
    await rm(join(tree, 'a'))
    await run('s3', 'sync', '--delete', tree, 's3://cli/sync')
    await run('s3', 'sync', 's3://cli/sync', join(work, 'synced'))
    const names = await readdir(join(work, 'synced'), { recursive: true })
    expect(names.toSorted()).toEqual(['b+c', 'deep er', 'deep er/d'])
    expect(await readFile(join(work, 'synced', 'deep er', 'd'), 'utf8')).toBe('deep er/d')
  })

  test('list-object-versions pages through versions and markers', async () => {
    for (const text of ['1', '2', '3']) {
      await writeFile(join(work, 'version'), text)
      await run('s3', 'cp', join(work, 'version'), 's3://cli/versions/k')
    }
    await run('s3', 'rm', 's3://cli/versions/k')
    const listed = await json<{ Versions: { IsLatest: boolean; VersionId: string }[]; DeleteMarkers: unknown[] }>([
      's3api',
      'list-object-versions',
      '--bucket',
      'cli',
      '--prefix',
      'versions/',
      '--page-size',
      '2',
    ])
    expect(listed.Versions.map(({ IsLatest }) => IsLatest)).toEqual([false, false, false])
    expect(new Set(listed.Versions.map(({ VersionId }) => VersionId)).size).toBe(3)
    expect(listed.DeleteMarkers).toHaveLength(1)
  })

  test('get-object-attributes and delete-objects', async () => {
    await writeFile(join(work, 'body'), 'hello')
    await run('s3', 'cp', join(work, 'body'), 's3://cli/attributes/k')
    const attributes = await json<{ ObjectSize: number; ETag: string }>(
      ['s3api', 'get-object-attributes', '--bucket', 'cli', '--key', 'attributes/k'],
      ['--object-attributes', 'ETag', 'ObjectSize', 'Checksum'],
    )
    expect(attributes).toMatchObject({ ObjectSize: 5, ETag: '5d41402abc4b2a76b9719d911017c592' })
    const deleted = await json<{ Deleted: { Key: string; DeleteMarker: boolean }[] }>([
      's3api',
      'delete-objects',
      '--bucket',
      'cli',
      '--delete',
      'Objects=[{Key=attributes/k}]',
    ])
    expect(deleted.Deleted).toMatchObject([{ Key: 'attributes/k', DeleteMarker: true }])
  })
})
