import { describe, expect, it } from 'vitest'
import { createWorld, noise, safetensorsOf, type World, type WorldOptions } from '../support/weights-world.ts'

/** Ends every run of the pipeline at every step of every port, before the step or after it with its reply lost. */

class Killed extends Error {}

type History = {
  title: string
  options?: WorldOptions
  publish: (world: World) => Map<string, Buffer>
  releases: number
}

const publishAll = (world: World, files: [string, Buffer][]): Map<string, Buffer> => {
  for (const [key, body] of files) world.publish(key, body)
  return new Map(files)
}

const histories: History[] = [
  {
    title: 'an object in three segments',
    options: { segmentBytesMax: 40 },
    publish: (world) => publishAll(world, [['llama/v1/model.bin', noise(100)]]),
    releases: 0,
  },
  {
    title: 'a release with a list and two objects',
    publish: (world) => {
      const files: [string, Buffer][] = [
        ['llama/v1/a.bin', noise(50, 1)],
        ['llama/v1/b.safetensors', safetensorsOf({ x: 30 })],
      ]
      const list = files.map(([key, body]) => ({
        key: key.slice('llama/v1/'.length),
        size: body.length,
        crc64nvme: world.source.put('models', key, body).checksums[0]!.value,
      }))
      return publishAll(world, [...files, ['llama/v1/_PUBLISH.json', Buffer.from(JSON.stringify({ files: list }))]])
    },
    releases: 1,
  },
  {
    title: 'an object that needs a second read',
    options: { segmentBytesMax: 40 },
    publish: (world) => {
      world.publish('llama/v1/model.bin', noise(100), { checksum: { algorithm: 'SHA1', type: 'FULL_OBJECT' } })
      return new Map([['llama/v1/model.bin', noise(100)]])
    },
    releases: 0,
  },
]

const settle = async (world: World): Promise<void> => {
  await world.run({ triesMax: 4, losesTriggers: true })
  for (let minutes = 0; minutes < 3; minutes += 1) {
    world.tick(31 * 60_000)
    await world.sweep().catch((error: unknown) => expect(error).toBeInstanceOf(Killed))
    await world.run({ triesMax: 4, losesTriggers: true })
  }
}

/** What is not as it must be, or an empty list. */
const problemsOf = async (world: World, files: Map<string, Buffer>, releases: number): Promise<string[]> => {
  const problems: string[] = []
  const check = (isFine: boolean, problem: string): void => void (isFine || problems.push(problem))
  const manifests = await world.manifests()
  for (const key of files.keys())
    check(manifests.filter(({ source }) => source.key === key).length > 0, `${key} is not sealed`)
  const versions = manifests.map(({ source }) => `${source.key} ${source.version}`)
  check(new Set(versions).size === versions.length, `sealed twice: ${versions.join(', ')}`)
  for (const manifest of manifests) {
    const { key } = manifest.source
    check(manifest.state === 'protected', `${key} is ${manifest.state}`)
    check(files.get(key)?.equals(await world.restore(manifest)) === true, `${key} comes back as other bytes`)
  }
  for (const { source, state } of world.rows()) check(state === 'protected', `${source.key} is ${state} in the ledger`)
  const sealed = (await world.releases()).filter(({ completeness }) => completeness !== 'inferred')
  check(sealed.length === releases, `${sealed.length} releases`)
  for (const name of [...world.names('objects/'), ...world.names('releases/'), ...world.names('chunks/')])
    check(((await world.store.stat(name))?.retainUntil ?? 0) > world.now(), `${name} is not kept`)
  return problems
}

describe.each(histories)('$title', ({ options, publish, releases }) => {
  it('comes out whole wherever a call dies', async () => {
    const steps: string[] = []
    const plain = createWorld({ ...options, onStep: (step, when) => void steps.push(`${when} ${step}`) })
    const files = publish(plain)
    await settle(plain)
    expect(await problemsOf(plain, files, releases)).toEqual([])
    expect(steps.length).toBeGreaterThan(40)

    for (const [index, step] of steps.entries()) {
      let at = 0
      const world = createWorld({
        ...options,
        onStep: () => {
          at += 1
          if (at - 1 === index) throw new Killed(step)
        },
      })
      publish(world)
      await settle(world)
      const problems = await problemsOf(world, files, releases)
      expect({ killed: `${step} (step ${index})`, problems }).toEqual({ killed: expect.anything(), problems: [] })
    }
  })
})
