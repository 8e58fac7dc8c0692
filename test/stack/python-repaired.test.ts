import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { continueValidation } from '../../shared/proof/validate-run.ts'
import { digestsIn, sha256 } from '../support/fixtures.ts'
import { createProofWorld, damages, files, nameOfManifest, rest } from '../support/proof-world.ts'
import { hasTools, inFolders, runPage } from '../support/python-page.ts'
import { ample } from '../support/weights-world.ts'

describe.skipIf(!hasTools)('the restorer in Python', () => {
  test('restores what was repaired, past the damaged records that stay', async () => {
    const proof = await createProofWorld()
    const { world } = proof
    await damages.truncated(world, nameOfManifest(world, 'single.bin'))
    await damages.truncated(world, nameOfManifest(world, 'llama/v1/model.bin'))
    await damages.truncated(world, world.names('releases/')[0]!)
    await continueValidation(proof.open(), ample)
    await rest(world)
    for (const [what, keys] of [
      ['llama', ['llama/v1/model.bin', 'llama/v1/small.safetensors']],
      ['s3://models/single.bin', ['single.bin']],
    ] as const)
      await inFolders(async (replica, to) => {
        for (const name of world.store.names()) {
          await mkdir(join(replica, name, '..'), { recursive: true })
          await writeFile(join(replica, name), (await world.store.read(name))!)
        }
        expect(await runPage([replica, what, to])).toMatchObject({ code: 0, stderr: '' })
        expect(await digestsIn(to)).toEqual(
          Object.fromEntries(keys.map((key) => [key.slice(key.lastIndexOf('/') + 1), sha256(files[key])])),
        )
      })
  })
})
