import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { CorruptError, FormatVersionError, InvalidInputError } from '../../shared/errors.ts'
import { decodeBodyHeader } from '../../shared/weights/body.ts'
import { decodeBody, sha256Hex } from '../../shared/weights/codec.ts'
import {
  cancelledSchema,
  chunksPartSchema,
  deletedSchema,
  failedSchema,
  indexPartSchema,
  objectManifestSchema,
  parseRecord,
  pendingSchema,
  releaseManifestSchema,
  tensorsPartSchema,
  waitingSchema,
} from '../../shared/weights/manifest.ts'
import {
  parseBodyName,
  parseDeletedName,
  parseFailedName,
  parseObjectManifestName,
  parsePendingName,
  parseReleaseName,
  parseWaitingName,
} from '../../shared/weights/names.ts'
import { runCli } from '../support/cli.ts'
import {
  changedFixtures,
  damageChunk,
  digestsIn,
  expectedRestores,
  filesIn,
  fixtureFolder,
  withFolder,
} from '../support/fixtures.ts'
import { createFolderStore } from '../support/folder-store.ts'

/** What format 1.0 was when it was published: every later reader must still read it. */

/** By folder. */
const kinds: Record<
  string,
  { parseName: (name: string) => unknown; schema: z.ZodType<{ format: string; state?: string }> }
> = {
  releases: { parseName: parseReleaseName, schema: releaseManifestSchema },
  objects: { parseName: parseObjectManifestName, schema: z.union([objectManifestSchema, cancelledSchema]) },
  pending: { parseName: parsePendingName, schema: pendingSchema },
  failed: { parseName: parseFailedName, schema: failedSchema },
  waiting: { parseName: parseWaitingName, schema: waitingSchema },
  deleted: { parseName: parseDeletedName, schema: deletedSchema },
}

const addUnknown = (record: Record<string, unknown>): void => {
  Object.assign(record, { formatVersion: '1.7', novelty: { of: 'a newer minor version' } })
}

const restored = await expectedRestores()
const configDigest = restored['tiny@v1']?.['config.json'] ?? ''

const restore = async (replica: string, what: string, to: string) =>
  runCli(['restore', what, '--to', to], { store: createFolderStore(replica) })

describe('the fixtures of format 1.0', () => {
  test.each(Object.keys(restored).map((what) => [what.length > 80 ? `${what.slice(0, 80)}...` : what, what] as const))(
    'restore %s',
    async (_title, what) => {
      await withFolder(async (to) => {
        const { code, stderr } = await restore(fixtureFolder, what, to)
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
        expect(await digestsIn(to)).toEqual(restored[what])
      })
    },
  )

  test('have records of every kind under names of their kind', async () => {
    const seen: Record<string, number> = {}
    for (const name of await filesIn(fixtureFolder)) {
      if (parseBodyName(name) || name.startsWith('config/')) continue
      const kind = kinds[name.slice(0, name.indexOf('/'))]
      expect(kind?.parseName(name)).toBeDefined()
      const record = parseRecord(kind!.schema, name, await readFile(join(fixtureFolder, name)))
      const title = 'state' in record ? `${record.format} ${record.state}` : record.format
      seen[title] = (seen[title] ?? 0) + 1
    }
    expect(seen).toEqual({
      'lifeboat/cancelled': 1,
      'lifeboat/deleted': 1,
      'lifeboat/failed quarantined': 1,
      'lifeboat/failed refused': 1,
      'lifeboat/failed superseded': 1,
      'lifeboat/object protected': 19,
      'lifeboat/object sealed': 1,
      'lifeboat/pending': 21,
      'lifeboat/release protected': 2,
      'lifeboat/waiting': 3,
    })
  })

  test('have bodies of both codecs, parts of every kind, and one wrong body whose chunk is under another name', async () => {
    const seen = new Set<string>()
    const wrong: string[] = []
    for (const name of await filesIn(fixtureFolder)) {
      const parsed = parseBodyName(name)
      if (!parsed) continue
      const body = await readFile(join(fixtureFolder, name))
      const plain = decodeBody(body, { plainBytesMax: 2 ** 20 })
      seen.add(`${parsed.kind} ${decodeBodyHeader(body).codec}`)
      if ('nonce' in parsed) seen.add('alternate name')
      if (sha256Hex(plain) !== parsed.id) wrong.push(parsed.id)
      else if (parsed.kind === 'part') {
        const schema = z.discriminatedUnion('format', [chunksPartSchema, indexPartSchema, tensorsPartSchema])
        seen.add(parseRecord(schema, name, plain).format)
      }
    }
    const all = ['alternate name', 'chunk raw', 'chunk zstd', 'part zstd']
    expect([...seen].sort()).toEqual([...all, 'lifeboat/chunks', 'lifeboat/index', 'lifeboat/tensors'].sort())
    expect(wrong).toEqual([restored['tiny@v2']?.['config.json']])
  })
})

describe('other versions', () => {
  test('a newer minor version with unknown fields is read', async () => {
    await withFolder(async (folder) => {
      const [replica, to] = [join(folder, 'replica'), join(folder, 'to')]
      await changedFixtures(replica, {
        object: (object) => {
          addUnknown(object)
          Object.assign(object['source'] as object, { novelty: 1 })
        },
        release: (release) => {
          addUnknown(release)
          for (const member of release.members) member['novelty'] = 1
        },
      })
      expect((await restore(replica, 'tiny@v1', to)).code).toBe(0)
      expect(await digestsIn(to)).toEqual(restored['tiny@v1'])
    })
  })

  test.each(['release', 'object'] as const)('a newer major version of a %s is refused', async (kind) => {
    await withFolder(async (folder) => {
      const [replica, to] = [join(folder, 'replica'), join(folder, 'to')]
      await changedFixtures(replica, { [kind]: (record: Record<string, unknown>) => (record['formatVersion'] = '2.0') })
      const { code, stderr } = await restore(replica, 'tiny@v1', to)
      expect(code).toBe(5)
      expect(stderr).toMatch(/format 2\.0.*newer lifeboat/)
    })
  })

  test.each([
    ['another layout', 3, 0x32],
    ['an unknown codec', 4, 9],
  ])('a body of %s is refused', async (_title, offset, value) => {
    await withFolder(async (folder) => {
      const [replica, to] = [join(folder, 'replica'), join(folder, 'to')]
      await changedFixtures(replica, {})
      await damageChunk(replica, configDigest, (body) => body.writeUInt8(value, offset))
      const body = await readFile(join(replica, 'chunks', configDigest.slice(0, 2), configDigest))
      expect(() => decodeBodyHeader(body)).toThrow(FormatVersionError)
      expect((await restore(replica, 'tiny@v1', to)).code).toBe(5)
    })
  })

  test.each([
    ['no version', {}, InvalidInputError],
    ['a version of another form', { formatVersion: '1' }, InvalidInputError],
    ['a major version above 1', { formatVersion: '10.0' }, FormatVersionError],
  ])('a record of %s is refused', (_title, fields, error) => {
    const body = Buffer.from(
      JSON.stringify({ format: 'lifeboat/cancelled', cancelledAt: '2026-01-01T00:00:00Z', ...fields }),
    )
    expect(() => parseRecord(cancelledSchema, 'objects/x', body)).toThrow(error)
  })

  test('a damaged chunk restores nothing', async () => {
    await withFolder(async (folder) => {
      const [replica, to] = [join(folder, 'replica'), join(folder, 'to')]
      await changedFixtures(replica, {})
      await damageChunk(replica, configDigest, (body) => body.writeUInt8(body.readUInt8(20) ^ 1, 20))
      const damaged = await readFile(join(replica, 'chunks', configDigest.slice(0, 2), configDigest))
      expect(() => decodeBody(damaged, { plainBytesMax: 2 ** 20 })).toThrow(CorruptError)
      expect((await restore(replica, 'tiny@v1', to)).code).toBe(5)
      const left = await filesIn(to)
      expect(left.filter((path) => !path.includes('.lifeboat-partial'))).toEqual([])
    })
  })
})
