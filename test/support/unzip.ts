import { on } from 'node:events'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import yauzl from 'yauzl'

/** Every file of an archive by its name, in the order of the archive. */
export const unzip = async (file: string): Promise<Map<string, Buffer>> => {
  const zip = await promisify<string, yauzl.Options, yauzl.ZipFile>(yauzl.open)(file, { lazyEntries: true })
  const open = promisify<yauzl.Entry, Readable>((entry, done) => zip.openReadStream(entry, done))
  const files = new Map<string, Buffer>()
  zip.readEntry()
  for await (const [entry] of on(zip, 'entry', { close: ['end'] }) as AsyncIterable<[yauzl.Entry]>) {
    files.set(entry.fileName, await buffer(await open(entry)))
    zip.readEntry()
  }
  return files
}
