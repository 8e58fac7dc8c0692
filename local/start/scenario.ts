import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { filesAt, type LocalFile } from './publish.ts'
import type { RowsPlan } from './rows.ts'
import { checkRowsFile, type KeyOptions, readRowsFile } from './rows-file.ts'
import { changeTensors, createModel, writeModel } from './synthetic-model.ts'
import { syntheticRows } from './synthetic-rows.ts'

/** One publish of the demonstration: what the user sees it as, the model's name, version, and its files. */
export type Publish = { title: string; model: string; version: string; files: LocalFile[]; marker: 'list' | 'success' }

const tensors = 60
/** 60 tensors of 4.5 MiB: 270 MiB of BF16. */
const elements = 2.25 * 2 ** 20
const changedTensors = 3

const config = {
  architectures: ['LifeboatForCausalLM'],
  hidden_size: 1024,
  num_hidden_layers: 10,
  torch_dtype: 'bfloat16',
}

/** Version 1, version 2 with 5% of the tensors changed, and version 2 once more under another name. */
export const syntheticPublishes = async (dir: string, seed: number): Promise<Publish[]> => {
  const first = createModel(seed, tensors, elements)
  const second = changeTensors(first, changedTensors, seed + 1)
  const write = async (
    title: string,
    name: string,
    version: string,
    file: string,
    model: typeof first,
  ): Promise<Publish> => {
    const folder = join(dir, `${name}-${version}`)
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, undefined, 2)}\n`)
    await writeModel(join(folder, file), model)
    return { title, model: name, version, files: await filesAt(folder), marker: 'success' }
  }
  return [
    await write('version 1', 'demo', 'v1', 'model.safetensors', first),
    await write(
      `version 2 (${changedTensors} of ${tensors} tensors changed)`,
      'demo',
      'v2',
      'model.safetensors',
      second,
    ),
    await write('renamed copy of version 2', 'demo-renamed', 'v1', 'weights-final.safetensors', second),
  ]
}

/** The user's own file or folder as version 1 of a model of that name. */
export const userPublishes = async (path: string): Promise<Publish[]> => {
  const model = basename(resolve(path))
  return [{ title: path, model, version: 'v1', files: await filesAt(path), marker: 'list' }]
}

export const rowsTable = 'features'

/** Slow enough to leave the publishes their processor, and done before those are. */
const syntheticPerSecond = 400
const userPerSecond = 2000

/** Seeded changes of about 1,000 items, or of about 100 beside a model of the user's. */
export const syntheticRowsPlan = (seed: number, isFew: boolean): RowsPlan => ({
  table: rowsTable,
  keys: { partition: { name: 'pk', type: 'S' }, sort: { name: 'sk', type: 'N' } },
  perSecond: syntheticPerSecond,
  changes: () => syntheticRows(seed, isFew ? 100 : 1000, Math.floor(Date.now() / 1000)),
})

/** The user's own items. Reads all of the file before: throws InvalidInputError on the first line that is wrong. */
export const userRowsPlan = async (file: string, options: KeyOptions): Promise<RowsPlan> => ({
  table: rowsTable,
  keys: await checkRowsFile(file, options),
  perSecond: userPerSecond,
  changes: () => readRowsFile(file),
})
