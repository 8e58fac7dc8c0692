import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { floatFile, floatTensor, type FloatModel, grown, tuned } from '../support/float-model.ts'
import { hasTools, inFolders, runPage } from '../support/python-page.ts'
import { bucketName, createWorld, type World } from '../support/weights-world.ts'

const copyTo = async (world: World, folder: string): Promise<void> => {
  for (const name of world.store.names()) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), (await world.store.read(name))!)
  }
}

const first: FloatModel = {
  bf16: floatTensor('BF16', [600, 512], 1),
  f16: floatTensor('F16', [600, 512], 2),
  f32: floatTensor('F32', [300, 512], 3),
}
const second: FloatModel = {
  bf16: grown(tuned(first['bf16']!, 0.01, 4), 3, 7),
  f16: tuned(first['f16']!, 0.01, 5),
  f32: tuned(first['f32']!, 0.01, 6),
}

const published = async (): Promise<World> => {
  const world = createWorld()
  for (const [version, model] of Object.entries({ v1: first, v2: second })) {
    world.tick(60_000)
    world.publish(`m/${version}/model.safetensors`, floatFile(model))
    world.tick(60_000)
    world.publish(`m/${version}/_SUCCESS`, Buffer.alloc(0))
    expect(await world.run()).toEqual([])
  }
  return world
}

describe.skipIf(!hasTools)('docs/restore.py', () => {
  test('restores a model of which every tensor is a difference, without the source', async () => {
    const world = await published()
    world.source.delete(bucketName, 'm/v1/model.safetensors')
    expect(world.names('deltas/').length).toBe(3)
    await inFolders(async (replica, to) => {
      await copyTo(world, replica)
      const bytes = floatFile(second)
      const digest = createHash('sha256').update(bytes).digest('hex')
      expect(await runPage([replica, 'm@v2', to])).toEqual({
        code: 0,
        stdout: `${digest}  model.safetensors\n`,
        stderr: '',
      })
      expect((await readFile(join(to, 'model.safetensors'))).equals(bytes)).toBe(true)
    })
  })

  test.each(['chunks/', 'deltas/'])('leaves nothing of it where one body of %s is damaged', async (folder) => {
    const world = await published()
    const named = world.names('deltas/')[0]!
    const base = named.split('.')[1]!
    const damaged = folder === 'deltas/' ? named : `chunks/${base.slice(0, 2)}/${base}`
    world.store.corrupt(damaged, (body) => {
      const flipped = Uint8Array.from(body)
      flipped[flipped.length - 1]! ^= 1
      return flipped
    })
    await inFolders(async (replica, to) => {
      await copyTo(world, replica)
      expect(await runPage([replica, 'm@v2', to])).toMatchObject({
        code: 5,
        stderr: expect.stringContaining(`${damaged} does not decode to its id`),
      })
    })
  })
})
