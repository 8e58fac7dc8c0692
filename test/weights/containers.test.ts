import { array, assert, asyncProperty, nat, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UnavailableError } from '../../shared/errors.ts'
import { readLayout } from '../../shared/weights/container.ts'
import { cutTensors, gearCutter, ggufCutter, torchCutter } from '../../shared/weights/cut.ts'
import type { Layout } from '../../shared/weights/layout.ts'
import { expectHealed } from '../support/pipeline-steps.ts'
import { createWorld } from '../support/weights-world.ts'
import vectors from '../vectors/containers.json' with { type: 'json' }

const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64')
const layoutOf = (key: string, file: Uint8Array) => {
  const read = async (start: number, end: number): Promise<Uint8Array> => {
    if (start < 0 || end > file.length || start > end)
      throw new Error(`read [${start}, ${end}) of ${file.length} bytes`)
    return file.slice(start, end)
  }
  return readLayout(key, file.length, read)
}
const whole = async (key: string, file: Uint8Array): Promise<Layout> => {
  const layout = await layoutOf(key, file)
  if (!layout?.ok) throw new Error(layout?.reason ?? 'no layout')
  return layout
}
const unreachable = (): Promise<Uint8Array> => Promise.reject(new UnavailableError('S3 is away'))
/** Whatever a file holds: tensors tile it, or it is refused with a reason. */
const isTiledOrRefused = async (key: string, file: Uint8Array): Promise<boolean> => {
  const layout = await layoutOf(key, file)
  if (!layout) return true
  if (!layout.ok) return layout.reason.length > 0
  let covered = 0
  for (const { offset, length } of cutTensors(layout.dataStart, layout.tensors, file.length)) {
    if (offset !== covered || length <= 0) return false
    covered += length
  }
  return covered === file.length
}

describe('a GGUF file', () => {
  const file = bytesOf(vectors.gguf.file)

  it('is cut at its tensors, and what pads them is opaque', async () => {
    const { cutter, dataStart, tensors } = await whole('m.gguf', file)
    expect(cutter).toBe(ggufCutter)
    expect(dataStart).toBe(vectors.gguf.dataStart)
    expect(tensors.map(({ name, dtype, start, end }) => [name, dtype, start, end])).toEqual(vectors.gguf.tensors)
  })

  it('is refused wherever it is cut short', async () => {
    for (let size = 0; size < file.length; size += 1) {
      const layout = await layoutOf('m.gguf', file.subarray(0, size))
      // Blocks of quantised elements end where the next tensor begins, so that only what follows can tell.
      expect(layout).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/GGUF|cut short|does not fit/) as string,
      })
    }
  })

  it('is refused where its alignment, or the number of its tensors, is no real one', async () => {
    const aligned = Buffer.from(file)
    aligned.writeUInt32LE(2 ** 31, file.indexOf('general.alignment') + 'general.alignment'.length + 4)
    expect(await layoutOf('m.gguf', aligned)).toMatchObject({ ok: false })
    const many = Buffer.from(file)
    many.writeBigUInt64LE(100_001n, 8)
    expect(await layoutOf('m.gguf', many)).toMatchObject({
      ok: false,
      reason: expect.stringContaining('100000') as string,
    })
  })

  it('is refused where it is none', async () => {
    expect(await layoutOf('m.gguf', Buffer.from('not a model'))).toMatchObject({ ok: false })
  })

  it('passes on what the source could not read', async () => {
    await expect(readLayout('m.gguf', 1000, unreachable)).rejects.toThrow('S3 is away')
  })
})

describe('a PyTorch zip file', () => {
  const file = bytesOf(vectors.torch.file)

  it('is cut at its storages, named for the first tensor in each', async () => {
    const { cutter, tensors } = await whole('pytorch_model.bin', file)
    expect(cutter).toBe(torchCutter)
    const known = tensors.filter(({ dtype }) => dtype !== 'opaque')
    expect(known.map(({ name, dtype, shape, start, end }) => [name, dtype, shape, start, end])).toEqual(
      vectors.torch.tensors,
    )
  })

  it('of big-endian elements is cut the same, and its elements are not taken for what they are not', async () => {
    const { tensors } = await whole('m.pt', bytesOf(vectors.torchBigEndian.file))
    expect(tensors.find(({ name }) => name === 'w')).toMatchObject({
      dtype: vectors.torchBigEndian.dtype,
      start: vectors.torchBigEndian.start,
    })
  })

  it('whose pickle cannot be read is cut at its entries', async () => {
    const { tensors } = await whole('m.pt', bytesOf(vectors.torchUnreadablePickle.file))
    expect(tensors.find(({ start }) => start === vectors.torchUnreadablePickle.start)).toMatchObject({
      name: 'archive/data/0',
      dtype: 'opaque',
    })
  })

  it('that PyTorch did not write is refused, one of another kind has no layout', async () => {
    expect(await layoutOf('m.pt', bytesOf(vectors.torchDeflated.file))).toMatchObject({ ok: false })
    expect(await layoutOf('m.bin', Buffer.from('an older format'))).toBeUndefined()
    expect(await layoutOf('m.bin', Buffer.alloc(0))).toBeUndefined()
  })

  it('is refused wherever it is cut short', async () => {
    for (let size = 4; size < file.length; size += 7)
      expect(await layoutOf('m.pt', file.subarray(0, size))).toMatchObject({ ok: false })
  })

  it('passes on what the source could not read', async () => {
    let reads = 0
    const failing = async (start: number, end: number): Promise<Uint8Array> => {
      reads += 1
      if (reads > 1) throw new UnavailableError('S3 is away')
      return file.slice(start, end)
    }
    await expect(readLayout('m.pt', file.length, failing)).rejects.toThrow('S3 is away')
  })
})

describe('the pipeline', () => {
  it.each([
    ['llama/v1/m.gguf', vectors.gguf.file, ggufCutter],
    ['llama/v1/m.pt', vectors.torch.file, torchCutter],
  ])('carries %s, cut at its tensors', async (key, base64, cutter) => {
    const world = createWorld({})
    const body = bytesOf(base64)
    world.publish(key, body)
    await expectHealed(world, body)
    expect(world.rows()[0]).toMatchObject({ cutter, warnings: [] })
  })

  it('carries a file whose tensor index no reader would take as opaque bytes', async () => {
    const world = createWorld({})
    // Within what a header may have (32 MiB), and more than a part of the index may: its shapes take four times as much there.
    const shape = Array.from({ length: 64 }, () => 0)
    const tensors = Array.from({ length: 5000 }, (_, index) => [
      `${index} ${'n'.repeat(6390)}`,
      { dtype: 'U8', shape, data_offsets: [0, 0] },
    ])
    const json = Buffer.from(
      JSON.stringify({ ...Object.fromEntries(tensors), x: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }),
    )
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(json.length))
    const body = Buffer.concat([length, json, Buffer.alloc(4)])
    world.publish('llama/v1/m.safetensors', body)
    expect(await world.run()).toEqual([])
    expect(world.rows()[0]).toMatchObject({
      cutter: gearCutter,
      state: 'protected',
      warnings: ['copied as an opaque file: names or shapes of its tensors are no real ones'],
    })
  })

  it('carries one that is cut short as opaque bytes, and says why', async () => {
    const world = createWorld({})
    const body = bytesOf(vectors.gguf.file).subarray(0, 100)
    world.publish('llama/v1/m.gguf', body)
    await expectHealed(world, body)
    expect(world.rows()[0]).toMatchObject({
      cutter: gearCutter,
      warnings: [expect.stringMatching(/^copied as an opaque file: .*GGUF/) as string],
    })
  })
})

describe('a file that someone broke', () => {
  it.each([
    ['m.gguf', vectors.gguf.file],
    ['m.pt', vectors.torch.file],
  ])('%s is tiled or refused, whatever bytes are changed', async (key, base64) => {
    const file = bytesOf(base64)
    const change = tuple(nat(file.length - 1), nat(255))
    await assert(
      asyncProperty(array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
        const broken = Buffer.from(file)
        for (const [at, byte] of changes) broken[at] = byte
        expect(await isTiledOrRefused(key, broken)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})
