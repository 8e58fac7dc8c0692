import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { CorruptError } from '../../shared/errors.ts'
import type { BlobStat, BlobStore } from '../../shared/ports.ts'
import { crcNumber } from '../../shared/weights/checksums.ts'

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EISDIR')

/** Of name and content, so that a checked-out copy has the generations that its manifests name. */
const generationOf = (name: string, body: Uint8Array): string =>
  String(Number(`0x${createHash('sha256').update(name).update('\0').update(body).digest('hex').slice(0, 13)}`))

const statOf = (name: string, body: Uint8Array): BlobStat => ({
  name,
  size: body.length,
  crc32c: crcNumber('CRC32C', body),
  md5: createHash('md5').update(body).digest('base64'),
  generation: generationOf(name, body),
  metageneration: '1',
  metadata: {},
  createdAt: 0,
})

/** A replica in a folder, as `gcloud storage rsync` would leave it; metadata and retention are not kept. */
export const createFolderStore = (root: string): BlobStore => {
  const load = async (name: string): Promise<Uint8Array | undefined> => {
    try {
      return await readFile(join(root, name))
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }
  const stat: BlobStore['stat'] = async (name) => {
    const body = await load(name)
    return body && statOf(name, body)
  }
  return {
    stat,
    create: async (name, body) => {
      if (await load(name)) return undefined
      await mkdir(dirname(join(root, name)), { recursive: true })
      await writeFile(join(root, name), body, { flag: 'wx' })
      return statOf(name, body)
    },
    read: async (name, { generation, bytesMax = Infinity } = {}) => {
      const body = await load(name)
      if (!body || (generation !== undefined && generation !== generationOf(name, body))) return undefined
      if (body.length > bytesMax) throw new CorruptError(`read ${name}: more than the ${bytesMax} bytes it may have`)
      return body
    },
    list: async function* list(prefix, { from = '' } = {}) {
      const entries = await readdir(root, { recursive: true, withFileTypes: true })
      const files = entries.filter((entry) => entry.isFile())
      const names = files.map(({ parentPath, name }) => relative(root, join(parentPath, name)).replaceAll(sep, '/'))
      const isListed = (name: string): boolean => name.startsWith(prefix) && name >= from
      for (const name of names.filter(isListed).sort()) {
        const found = await stat(name)
        if (found) yield found
      }
    },
    update: async ({ name }) => {
      const found = await stat(name)
      if (!found) throw new CorruptError(`update ${name}: it is gone`)
      return found
    },
  }
}
