import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { describe } from 'vitest'
import { findTool } from '../support/tools.ts'
import { s3Contract } from './s3-contract.ts'
import { clientOf } from './s3-support.ts'

const moto = findTool('moto_server')

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const startMoto = async () => {
  const port = await freePort()
  const child = spawn(moto!, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  const endpoint = `http://127.0.0.1:${port}`
  for (let tries = 0; ; tries += 1) {
    const up = await fetch(endpoint).then(
      () => true,
      () => false,
    )
    if (up) break
    if (tries > 300 || child.exitCode !== null) throw new Error('moto_server does not answer')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const client = clientOf(endpoint, { maxAttempts: 1 })
  const stop = async (): Promise<void> => {
    client.destroy()
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }
  return { client, stop }
}

/** Where moto 5.2.1 differs from S3; each is checked to differ still. */
const knownBugs: Record<string, string> = {
  'a key of more than 1,024 bytes is refused': 'counts characters instead of bytes',
  'keys may hold control characters': 'Werkzeug answers HTML',
  'response headers can be overridden by the reader': 'ignores response-* parameters of signed requests',
  'a copy honours the conditions on its source': 'ignores x-amz-copy-source-if-*',
  'put refuses a wrong CRC32': 'stores what it was told without checking',
  'put refuses a wrong CRC32C': 'stores what it was told without checking',
  'put refuses a wrong CRC64NVME': 'stores what it was told without checking',
  'put refuses a wrong SHA1': 'stores what it was told without checking',
  'put refuses a wrong SHA256': 'stores what it was told without checking',
  'the checksum of a single put is of type FULL_OBJECT': 'knows no checksum types',
  'without a client checksum S3 keeps a CRC64NVME of its own': 'keeps none',
  'a wrong Content-MD5 is refused': 'does not look at it',
  'KMS encryption makes the ETag opaque': 'the ETag is the MD5',
  'attributes of a single-part object': 'Last-Modified is no HTTP date',
  'removing a delete marker says that it was one': 'no x-amz-delete-marker',
  'the 404 of a deleted object names its marker': 'no x-amz-delete-marker',
  'reading a delete marker by its id is 405': '404 NoSuchVersion',
  'a delete marker is made even for a key that never was': 'no marker',
  'a version id that cannot be one is refused': '404 NoSuchVersion',
  'the null version is named where versioning was ever on': 'names none',
  'suspended: the null version is replaced, the others stay': 'drops the other versions',
  'suspended: a delete puts a null marker in place of the null version': 'no marker',
  'a bucket with versions or markers cannot be deleted': 'deletes it when only a marker is left',
  'get by part gives the bytes of that part': 'gives the whole object',
  'parts out of order are refused': 'accepts them',
  'an upload completes or aborts once': '500 for an upload that is gone',
  'completing honours the object size': 'ignores x-amz-mp-object-size',
  'KMS makes the ETags of parts and object opaque': 'the ETags are MD5s',
  'a part cannot be copied from beyond the end of its source': 'copies what there is',
  'uploads in progress are listed by prefix and delimiter': 'ignores the delimiter',
  'of two uploads the one begun later is the current version': 'the one completed later is',
  'a CRC32 upload keeps the composite of its parts': 'without the number of parts',
  'completing a CRC32 upload answers composite and type': 'answers neither',
  'a CRC32C upload keeps the composite of its parts': 'computes CRC32 instead',
  'completing a CRC32C upload answers composite and type': 'answers neither',
  'a SHA1 upload keeps the composite of its parts': 'without the number of parts',
  'completing a SHA1 upload answers composite and type': 'answers neither',
  'a SHA256 upload keeps the composite of its parts': 'without the number of parts',
  'completing a SHA256 upload answers composite and type': 'answers neither',
  'a full-object CRC64NVME of an upload is that of its bytes': 'knows no full-object checksums of uploads',
  'a wrong full-object CRC64NVME of an upload is refused': 'does not check',
  'a full-object CRC32 of an upload is that of its bytes': 'knows no full-object checksums of uploads',
  'a wrong full-object CRC32 of an upload is refused': 'does not check',
  'a full-object CRC32C of an upload is that of its bytes': 'knows no full-object checksums of uploads',
  'a wrong full-object CRC32C of an upload is refused': 'does not check',
  'an upload without an algorithm has the CRC64NVME of its bytes': 'keeps none',
  'head by part tells the checksum of the part of a composite object': 'does not tell it',
  'attributes list the parts of a composite object by page': 'Last-Modified is no HTTP date',
  'attributes give a composite checksum without the number of parts': 'Last-Modified is no HTTP date',
  'attributes only count the parts of a full-object upload': 'Last-Modified is no HTTP date',
  'types and algorithms that do not go together are refused': 'accepts them',
  'a part with another algorithm than its upload is refused': 'accepts it',
  'a part with a wrong checksum is refused': 'accepts it',
  'completing a composite upload needs the checksum of each part': 'completes without',
  'a copy of a composite object has one part and a full checksum': 'copies the composite',
  'listed parts have their checksums': 'does not list them',
  'a percent-encoded listing writes a space as a plus': 'as %20',
  'version 1 of the listing names the next marker with a delimiter only': 'names an opaque one always',
}

describe.skipIf(!moto)('deep tier', { timeout: 60_000 }, () => {
  s3Contract('moto', startMoto, { knownBugs })
})
