import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createModel, writeModel } from '../../local/start/synthetic-model.ts'
import { filesAt, publish, uploadFile } from '../../local/start/publish.ts'
import { differences, runLifeboat } from '../../local/start/verify.ts'
import { waitForRelease } from '../../local/start/watch.ts'
import { listReleases } from '../../shared/weights/catalog.ts'
import {
  buckets,
  contentOf,
  createdEvent,
  manifestsOf,
  missingBodies,
  noise,
  sha256,
  type SourceBucket,
  startTestStack,
  type TestStack,
  until,
} from '../support/stack.ts'

/** The packaged functions, both clouds and the event sources, over real sockets. */

// Long only where something else has the machine; nothing waits for it.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 })

let it: TestStack
const dir = mkdtempSync(join(tmpdir(), 'lifeboat-e2e-'))
beforeAll(async () => {
  it = await startTestStack(join(dir, 'stack'))
})
afterAll(async () => {
  try {
    await it.stop()
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

type GcsStats = { byPrefix: Record<string, { bytesReceived: number; creates: number; refused: number }> }

const ofKeys = (bucket: string, prefix: string) =>
  manifestsOf(it.store(), (source) => source.bucket === bucket && source.key.startsWith(prefix))

const sealed = async (bucket: string, prefix: string, count: number) =>
  until(
    async () => {
      const found = await ofKeys(bucket, prefix)
      return found.length >= count && found
    },
    async () =>
      `${count} manifests of s3://${bucket}/${prefix}: ${(await ofKeys(bucket, prefix)).length}\n${it.log('planObject').slice(-1500)}\n${it.log('copySegment').slice(-3000)}`,
  )

const idle = async (): Promise<void> => {
  await until(async () => (await it.messages('objects')) + (await it.messages('segments')) === 0, 'empty queues')
}

describe('duplicates', () => {
  test('an event delivered ten times, shuffled, makes one manifest', async () => {
    const bodies = [1, 2, 3, 4].map((seed) => noise(seed, 300_000 + seed))
    const versions = new Map<string, string>()
    for (const [index, body] of bodies.entries())
      versions.set(`ten/v1/${index}.bin`, (await it.put('silent', `ten/v1/${index}.bin`, body)) ?? 'none')
    const before = await it.stats<GcsStats>('gcs')
    const events = Array.from({ length: 10 }, () => [...versions.keys()].map((key) => createdEvent('silent', key)))
    const order = new Uint32Array(noise(7, 4 * 40).buffer)
    const shuffled = events.flat().map((event, index) => ({ event, at: order[index] ?? 0 }))
    shuffled.sort((a, b) => a.at - b.at)
    await Promise.all(shuffled.map(({ event }) => it.sendToObjects(event)))
    const found = await sealed('silent', 'ten/', 4)
    await idle()
    expect(await ofKeys('silent', 'ten/')).toHaveLength(4)
    for (const { object } of found) {
      const index = Number(object.source.key.at(-5))
      expect((await contentOf(it.store(), object)).equals(bodies[index]!)).toBe(true)
    }
    const chunks = (await it.stats<GcsStats>('gcs')).byPrefix['replica/chunks']!
    const then = before.byPrefix['replica/chunks'] ?? { bytesReceived: 0, creates: 0, refused: 0 }
    expect(chunks.refused - then.refused).toBe(0)
  })
})

const publishOf = (bucket: SourceBucket, prefix: string, round: number) => {
  const seed = 100 * (1 + buckets.indexOf(bucket))
  const files = { 'a.bin': noise(seed + round, 2_500_000), 'b.bin': noise(seed + 10 + round, 60_000) }
  const list = Object.entries(files).map(([key, body]) => ({ key, size: body.length, sha256: sha256(body) }))
  const write = async (): Promise<void> => {
    for (const [key, body] of Object.entries(files)) await it.put(bucket, prefix + key, body)
    await it.put(bucket, `${prefix}_PUBLISH.json`, JSON.stringify({ files: list }))
  }
  return { digests: new Map(list.map((file) => [file.key, file.sha256])), write }
}

describe('two publishes over the same keys', () => {
  test.each(['models', 'plain', 'suspended'] as const)('never mix a file or a release: %s', async (bucket) => {
    const prefix = `race-${bucket}/v1/`
    const [first, second] = [publishOf(bucket, prefix, 1), publishOf(bucket, prefix, 2)]
    await it.setFaults('gcs', [{ path: 'POST /upload.*name=chunks', times: 4, delayMs: 1500 }])
    await first.write()
    await until(async () => (await it.faults('gcs'))[0]!.times < 4, 'the first publish being copied')
    await second.write()
    const complete = bucket === 'models' ? 2 : 1
    const wholly = async () => {
      const { releases: found } = await listReleases(it.store(), `race-${bucket}`)
      const digests = new Map<string, string>()
      for (const { object } of await ofKeys(bucket, prefix))
        digests.set(object.traceId, sha256(await contentOf(it.store(), object)))
      const objects = await ofKeys(bucket, prefix)
      return found.map(({ release }) => {
        const pairs = release.members.map(({ path, manifest }) => {
          const member = objects.find(({ name }) => name === manifest)!
          return [path, digests.get(member.object.traceId)] as const
        })
        const is = (round: typeof first): boolean =>
          pairs.length === 2 && pairs.every(([path, digest]) => round.digests.get(path) === digest)
        return is(first) ? 'first' : is(second) ? 'second' : `mixed ${JSON.stringify(pairs)}`
      })
    }
    await until(
      async () => {
        const rounds = await wholly()
        return rounds.length >= complete && rounds.includes('second')
      },
      async () => `the second publish as a release: ${JSON.stringify(await wholly())}`,
    )
    await idle()
    for (const round of await wholly()) expect(['first', 'second']).toContain(round)
    for (const manifest of await ofKeys(bucket, prefix)) {
      const { key } = manifest.object.source
      if (key.endsWith('_PUBLISH.json')) continue
      const name = key.slice(prefix.length)
      const digest = sha256(await contentOf(it.store(), manifest.object))
      expect([first.digests.get(name), second.digests.get(name)]).toContain(digest)
    }
  })
})

const folders = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(124)).join('/')
const keys = {
  spaces: 'keys/a b  c.json',
  plus: 'keys/1+1=2.json',
  percent: 'keys/100%25 %zz.json',
  unicode: 'keys/模型-é-🚣.json',
  newline: 'keys/two\nlines.json',
  'dots and slashes': 'keys//.../a..b/~tilde.json',
  '1,024 bytes': `keys/${folders}/${'k'.repeat(1024 - 6 - folders.length)}`,
}

describe('keys', () => {
  test.each(buckets.filter((bucket) => bucket !== 'silent'))('of every kind: %s', async (bucket) => {
    const bodyOf = (name: string): Buffer => Buffer.from(`${bucket}: ${name}`)
    for (const [name, key] of Object.entries(keys)) await it.put(bucket, key, bodyOf(name))
    await sealed(bucket, 'keys/', Object.keys(keys).length)
    for (const [name, key] of Object.entries(keys)) {
      const to = join(dir, `${bucket}-${name}`)
      const { code, stderr } = await it.cli(['restore', `s3://${bucket}/${key}`, '--to', to, '--quiet'])
      expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' })
      const file = join(to, key.slice(key.lastIndexOf('/') + 1))
      expect(String(readFileSync(file))).toBe(String(bodyOf(name)))
    }
  })

  test('in S3 notifications are form-encoded', async () => {
    await it.put('silent', 'keys/form+ %2B é.json', 'form')
    const s3 = { bucket: { name: 'silent' }, object: { key: 'keys/form%2B+%252B+%C3%A9.json' } }
    await it.sendToObjects({
      Records: [{ eventName: 'ObjectCreated:Put', eventTime: '2026-01-01T00:00:00Z', s3 }],
    })
    const [found] = await sealed('silent', 'keys/form', 1)
    expect(found!.object.source.key).toBe('keys/form+ %2B é.json')
  })

  test('an unversioned key published, replaced and published again is three versions', async () => {
    for (const body of ['one', 'two', 'one']) {
      await it.put('plain', 'again/key.txt', body)
      const count = { one: 1, two: 2 }[body]!
      await sealed('plain', 'again/', count)
      // A version there is told apart to the second.
      await new Promise((resolve) => setTimeout(resolve, 1100))
    }
    const found = await sealed('plain', 'again/', 3)
    const contents = await Promise.all(found.map(({ object }) => contentOf(it.store(), object)))
    expect(contents.map(String).sort()).toEqual(['one', 'one', 'two'])
  })
})

describe('releases', () => {
  test('a folder marked by its index alone is one release', async () => {
    const from = join(dir, 'indexed')
    mkdirSync(from)
    const weights: Record<string, string> = {}
    for (const shard of [1, 2]) {
      const model = createModel(50 + shard, 2, 64 * 1024)
      for (const { name } of model.tensors) weights[`${shard}.${name}`] = `shard-${shard}.safetensors`
      await writeModel(join(from, `shard-${shard}.safetensors`), model)
    }
    writeFileSync(join(from, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weights }))
    writeFileSync(join(from, 'config.json'), '{}')
    const files = await filesAt(from)
    for (const file of files) await uploadFile(it.stack.s3, 'models', `indexed/v1/${file.path}`, file)
    const release = await waitForRelease(it.store(), 'indexed', 'v1', {
      timeoutMs: 120_000,
      onProgress: async () => {},
    })
    expect(release).toMatchObject({ completeness: 'index', state: 'protected' })
    expect(release.members.map(({ path }) => path)).toEqual(files.map(({ path }) => path).sort())
    await idle()
    expect((await listReleases(it.store(), 'indexed')).releases).toHaveLength(1)
    const to = join(dir, 'indexed-restored')
    expect(await it.cli(['restore', 'indexed@v1', '--to', to, '--quiet'])).toMatchObject({ code: 0 })
    expect(await differences(files, to)).toEqual([])
  })
})

describe('with AWS gone', () => {
  test('ls and restore answer from the replica alone', async () => {
    const from = join(dir, 'survivor')
    mkdirSync(from)
    await writeModel(join(from, 'model.safetensors'), createModel(77, 3, 64 * 1024))
    const files = await filesAt(from)
    await publish(it.stack.s3, 'models', 'survivor/v1/', files, 'list')
    await waitForRelease(it.store(), 'survivor', 'v1', { timeoutMs: 120_000, onProgress: async () => {} })
    for (const manifest of await manifestsOf(it.store())) expect(await missingBodies(it.store(), manifest)).toEqual([])

    await it.stack.runner().kill()
    for (const service of ['s3', 'sqs', 'dynamodb'] as const) await it.stack.clouds.kill(service)
    const replica = ['--replica', 'gs://replica']
    const listed = await runLifeboat(['ls', 'survivor', ...replica, '--json'], it.stack.environment)
    expect(listed).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(listed.stdout)).toMatchObject({ versions: [{ version: 'v1', state: 'protected' }] })
    const to = join(dir, 'survivor-restored')
    const restored = await runLifeboat(['restore', 'survivor', ...replica, '--to', to], it.stack.environment)
    expect(restored.code).toBe(0)
    expect(await differences(files, to)).toEqual([])
  })
})
