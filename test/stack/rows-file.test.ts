import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { checkRowsFile, type KeyOptions, readRowsFile } from '../../local/start/rows-file.ts'
import { toArray } from '../../shared/bounded.ts'
import { InvalidInputError } from '../../shared/errors.ts'

/** What `npm start -- --rows FILE` takes and what it says of the rest. */

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-rows-file-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const file = join(dir, 'rows.jsonl')
const usual: KeyOptions = { partition: 'pk', sort: undefined }
const check = (content: string | Uint8Array, options: Partial<KeyOptions> = {}) => {
  writeFileSync(file, content)
  return checkRowsFile(file, { ...usual, ...options })
}
const messageOf = async (content: string | Uint8Array, options: Partial<KeyOptions> = {}): Promise<string> => {
  const error: unknown = await check(content, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(InvalidInputError)
  return (error as Error).message
}
/** An item of so many bytes: 4 and those of its text. */
const ofBytes = (bytes: number): string => `{"pk":{"S":"a"},"v":{"S":"${'x'.repeat(bytes - 4)}"}}`
const a = '{"pk":{"S":"a"}}\n'

describe('the keys of a file', () => {
  const withSort = '{"pk":{"B":"AQ=="},"sk":{"N":"1"}}\n'
  test.each<[string, string, Partial<KeyOptions>, unknown]>([
    ['pk alone', a, {}, { partition: { name: 'pk', type: 'S' } }],
    [
      'sk where every item has it',
      withSort.repeat(2),
      {},
      { partition: { name: 'pk', type: 'B' }, sort: { name: 'sk', type: 'N' } },
    ],
    ['no sk where one item lacks it', `${withSort}{"pk":{"B":"Ag=="}}`, {}, { partition: { name: 'pk', type: 'B' } }],
    [
      'no sk where it is no key and one item lacks it',
      `{"pk":{"N":"1"},"sk":{"BOOL":true}}\n{"pk":{"N":"2"}}`,
      {},
      { partition: { name: 'pk', type: 'N' } },
    ],
    ['no sk where that is said', withSort, { sort: false }, { partition: { name: 'pk', type: 'B' } }],
    [
      'as named',
      '{"id":{"S":"a"},"at":{"N":"1"},"sk":{"S":"b"}}',
      { partition: 'id', sort: 'at' },
      { partition: { name: 'id', type: 'S' }, sort: { name: 'at', type: 'N' } },
    ],
    ['sk as the partition key', '{"sk":{"S":"a"}}', { partition: 'sk' }, { partition: { name: 'sk', type: 'S' } }],
  ])('%s', async (_what, content, options, keys) => {
    expect(await check(content, options)).toEqual(keys)
  })
})

describe('a wrong file is refused by the line, the field, what was found and what to do', () => {
  test('which one of exactly 400 KiB is not', async () => {
    expect(await check(ofBytes(409_600))).toEqual({ partition: { name: 'pk', type: 'S' } })
  })
  test.each<[string, string | Uint8Array, Partial<KeyOptions>, RegExp]>([
    [
      'plain JSON',
      `${a}{"pk":"b"}`,
      {},
      /:2: pk: .*found "b": every value is in DynamoDB's JSON, such as \{"S": "text"\}/,
    ],
    [
      'a number that is none of text',
      '{"pk":{"S":"a"},"v":{"N":12}}',
      {},
      /:1: v: not a text; found \{"N":12\}: every value/,
    ],
    [
      '39 digits',
      `{"pk":{"S":"a"},"v":{"M":{"n":{"N":"${'1'.repeat(39)}"}}}}`,
      {},
      /:1: v\.n: a number of 39 significant digits/,
    ],
    ['bad JSON', `${a}\n{"pk":`, {}, /:3: found \{"pk":, which is not JSON .*: write one item on each line/],
    ['no item', '[1]', {}, /:1: found \[1\], expected an item such as/],
    [
      'no key',
      `${a}{"id":{"S":"b"}}`,
      {},
      /:2: pk: not there, and it is the partition key; found id: add it, or name another by --partition-key/,
    ],
    [
      'a key of another type',
      `${a}{"pk":{"N":"1"}}`,
      {},
      /:2: pk: found type N, and the partition key of the first item is S/,
    ],
    ['a key that is none', '{"pk":{"BOOL":true}}', {}, /:1: pk: found type BOOL, and the partition key is S, N or B/],
    ['an empty key', '{"pk":{"S":""}}', {}, /:1: pk: a partition key of 0 bytes: DynamoDB has 1 to 2048/],
    [
      'a long sort key',
      `{"pk":{"S":"a"},"sk":{"S":"${'x'.repeat(1025)}"}}`,
      {},
      /:1: sk: a sort key of 1025 bytes: DynamoDB has 1 to 1024/,
    ],
    [
      'sk of two types in every item',
      '{"pk":{"S":"a"},"sk":{"N":"1"}}\n{"pk":{"S":"a"},"sk":{"S":"1"}}',
      {},
      /:2: sk: found type S, and the sort key of the first item is N/,
    ],
    [
      'no sort key that was named',
      '{"pk":{"S":"a"}}',
      { sort: 'at' },
      /:1: at: not there, and it is the sort key; found pk: .*--sort-key/,
    ],
    ['one attribute as both keys', '{"pk":{"S":"a"}}', { sort: 'pk' }, /^--sort-key pk: it is the partition key/],
    [
      'an item above 400 KB',
      `${a}${ofBytes(409_601)}`,
      {},
      /:2: found an item of 409601 bytes, and DynamoDB takes 409600/,
    ],
    [
      'a member twice',
      '{"pk":{"S":"a"},"v":{"NS":["1","1.0"]}}',
      {},
      /:1: v: a set with the same member twice: 1; found \{"NS"/,
    ],
    [
      'what is not UTF-8',
      Buffer.from(`${a}{"pk":{"S":"\u00FF"}}`, 'latin1'),
      {},
      /:2: not UTF-8: .*: save the file as UTF-8/,
    ],
    ['__proto__', '{"pk":{"S":"a"},"v":{"M":{"__proto__":{"S":"a"}}}}', {}, /:1: found an attribute __proto__/],
    ['a line without an end', 'x'.repeat(2 ** 24 + 1), {}, /:1: more than 16777216 bytes: write one item on each line/],
    ['nothing', '\n \n', {}, /^--rows .*: there is no item in it/],
  ])('%s', async (_what, content, options, message) => {
    expect(await messageOf(content, options)).toMatch(message)
  })

  test('what is no file', async () => {
    const missing = join(dir, 'missing.jsonl')
    await expect(checkRowsFile(missing, usual)).rejects.toThrow(`--rows ${missing}: there is no such file`)
    await expect(checkRowsFile(dir, usual)).rejects.toThrow('not a file')
    const link = join(dir, 'link.jsonl')
    symlinkSync(file, link)
    await expect(checkRowsFile(link, usual)).rejects.toThrow('links are not followed')
  })
})

test('items are read line by line, whatever the ends of the lines; numbers keep every digit', async () => {
  const digits = '12345678901234567890123456789012345678'
  const long = 'é'.repeat(150_000)
  writeFileSync(
    file,
    `{"pk":{"S":"a"},"n":{"N":"${digits}"}}\r\n\n{"pk":{"S":"b"},"v":{"S":"${long}"}}\n{"pk":{"S":"c"},"b":{"B":""}}`,
  )
  const items = await toArray(readRowsFile(file))
  expect(items).toEqual([
    { put: { pk: { S: 'a' }, n: { N: digits } }, where: `${file}:1` },
    { put: { pk: { S: 'b' }, v: { S: long } }, where: `${file}:3` },
    { put: { pk: { S: 'c' }, b: { B: new Uint8Array() } }, where: `${file}:4` },
  ])
})
