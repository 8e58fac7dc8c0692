import type { Item } from '../../../shared/features/item.ts'
import { type BackfillWorld, age } from '../../support/backfill-world.ts'
import { bucketName, noise } from '../../support/weights-world.ts'

/** What was there before Lifeboat, the same of the same seed. */

const bytesMin = 200
const bytesMax = 2000
/** In a folder, which is a release. */
const folderObjects = 20
/** One in so many has the content of another, or replaces another one. */
const sameOf = 10
const replacesOf = 50
const contentsOfSeed = 100_000_000

export type Content = {
  seed: number
  objects: number
  rows: number
  key(index: number): string
  pk(index: number): string
  item(pk: string, turn: number): Item
}

export const contentOf = (options: { seed: number; objects: number; rows: number }): Content => {
  const text = noise(64_000, options.seed).toString('hex')
  return {
    ...options,
    seed: options.seed * contentsOfSeed,
    key: (index) => {
      const of = index % replacesOf === replacesOf - 1 ? index - 1 : index
      return `old/${Math.floor(of / folderObjects)}/weights-${of}.bin`
    },
    pk: (index) => `user#${index}`,
    item: (pk, turn) => {
      const index = Number(pk.slice(pk.indexOf('#') + 1))
      const at = (index * 7919 + turn * 31) % 60_000
      return {
        pk: { S: pk },
        score: { N: String((index * 7919 + turn) % 100_000) },
        text: { S: text.slice(at, at + 20 + ((index + turn) % 180)) },
      }
    },
  }
}

const bodyOf = ({ seed }: Content, index: number): Buffer => {
  const content = index % sameOf === sameOf - 1 ? index - (sameOf - 1) : index
  return noise(bytesMin + ((content * 7919) % (bytesMax - bytesMin)), seed + content)
}

/** Answers how many bytes the objects have. */
export const fill = async (it: BackfillWorld, content: Content): Promise<number> => {
  let bytes = 0
  await age(it, () => {
    for (let index = 0; index < content.objects; index += 1) {
      const body = bodyOf(content, index)
      bytes += body.length
      it.world.source.put(bucketName, content.key(index), body)
    }
    for (let index = 0; index < content.rows; index += 1) it.put(content.item(content.pk(index), 0))
  })
  return bytes
}
