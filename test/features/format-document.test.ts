import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { startBigtable } from '../../local/bigtable/server.ts'
import { createReplicaTables } from '../../local/replica-rows.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { parseConfig } from '../../shared/config.ts'
import { parseItem } from '../../shared/features/attribute-json.ts'
import { rowCells } from '../../shared/features/cells.ts'
import { itemKeyOf } from '../../shared/features/change.ts'
import { encodeItem } from '../../shared/features/item.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { readVersion } from '../../shared/features/version.ts'

/** The example of docs/format.md 14.8, against the code that writes rows and the client that the document names. */

const text = readFileSync(new URL('../../docs/format.md', import.meta.url), 'utf8')
const section = text.slice(text.indexOf('### 14.8'))
const [, keyBlock = '', cellBlock = '', shellBlock = ''] = section
  .split(/```(?:sh)?\n/)
  .filter((_, at) => at === 0 || at % 2 === 1)

const json = /The item `(\{.*?\})` of a table/s.exec(section)?.[1] ?? ''
const item = parseItem(JSON.parse(json.replaceAll('\n', ' ')))
const key = itemKeyOf(item, { partition: 'user', sort: 'at' })
const rowKey = encodeRowKey(key)
/** The hex that a line begins with, before its explanation. */
const hexOf = (line: string): string => (line.split(/ {2,}/)[0] ?? '').replaceAll(' ', '')
const cellLines = new Map(
  cellBlock
    .trim()
    .split('\n')
    .map((line): [string, string] => {
      const [, name = '', rest = ''] = /^(\S+) +(.*)$/.exec(line) ?? []
      return [name, rest]
    }),
)
const version = cellLines.get('m:v') ?? ''

/** As `gcloud components install cbt` has it. */
const findCbt = async (): Promise<boolean> => {
  try {
    await promisify(execFile)('cbt', ['version'])
    return true
  } catch {
    console.log('deep tier: no cbt on this machine, the commands of docs/format.md are not run')
    return false
  }
}
const hasCbt = await findCbt()

describe('the example of docs/format.md', () => {
  test('has the bytes that are written', () => {
    expect(keyBlock.trim().split('\n').map(hexOf).join('')).toBe(rowKey.toString('hex'))
    expect(section).toContain(`in one line is \`${rowKey.toString('hex')}\``)
    const cells = Array.from(rowCells({ rowKey, key, item }), ([name, value]): [string, string] => [
      `d:${name}`,
      Buffer.from(value).toString('hex'),
    ])
    const documented = Array.from(cellLines, ([name, line]): [string, string] => [name, hexOf(line)])
    expect(documented.filter(([name]) => name.startsWith('d:'))).toEqual(cells.sort(([a], [b]) => (a < b ? -1 : 1)))
    expect(hexOf(cellLines.get('h:b') ?? '')).toBe(encodeItem({ user: item['user']!, at: item['at']! }).toString('hex'))
    expect(readVersion(version)).toBe(version)
  })

  test.skipIf(!hasCbt)('is what cbt shows by the commands of the document', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lifeboat-cbt-'))
    const server = await startBigtable({ dir })
    const place = { projectId: 'my-project', instanceId: 'features' }
    const rows = createBigtableRowStore({ ...place, endpoint: server.url, token: 'lifeboat-rows' })
    try {
      const stream = 'arn:aws:dynamodb:us-east-1:111122223333:table/users/stream/2026-01-01T00:00:00.000'
      const config = {
        formatVersion: 1,
        source: { account: '111122223333', region: 'us-east-1' },
        replica: { project: place.projectId, bucket: 'replica', bigtableInstance: place.instanceId },
        tables: [{ name: 'users', streams: [{ arn: stream, epoch: 1 }] }],
      }
      await createReplicaTables(server.url, parseConfig(JSON.stringify(config), { stage: 'dev', file: 'lifeboat.yml' }))
      const time = Math.floor(Date.now() / 1000)
      const before = encodeItem({ user: item['user']!, at: item['at']! })
      await rows.history.append('users', [{ key: rowKey, version, time, before }])
      const marker = { version, time, tombstone: false }
      await rows.applyIfNewer('users', { key: rowKey, cells: rowCells({ rowKey, key, item }), marker })
      const { stdout } = await promisify(execFile)('bash', ['-ec', shellBlock], {
        cwd: fileURLToPath(new URL('../..', import.meta.url)),
        env: {
          PATH: process.env['PATH'],
          HOME: dir,
          BIGTABLE_EMULATOR_HOST: new URL(server.url).host,
          PROJECT: place.projectId,
          INSTANCE: place.instanceId,
        },
        timeout: 20_000,
      })
      expect(stdout).toContain('"Suser#7"')
      expect(stdout).toContain('"N12.3"')
      expect(stdout).toContain('"SZoë"')
      expect(stdout).toContain('h:b')
      expect(stdout).toContain(version)
    } finally {
      await rows.close()
      await server.close()
      await rm(dir, { recursive: true, force: true })
    }
  })
})
