import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../support/tools.ts'
import { type Command, commandsOf, instructions, readDocument } from './markdown.ts'

/** What documents tell people to type is known to the tools that are meant. */

const all = instructions.flatMap((document) => commandsOf(readDocument(document)))
const typed = (tool: string): Command[] => {
  const texts = new Set(all.filter(([name]) => name === tool).map((words) => JSON.stringify(words)))
  return [...texts].map((text) => JSON.parse(text) as Command)
}
/** Both write into the home folder. */
let home: string
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'lifeboat-documents-'))
})
afterAll(() => rmSync(home, { recursive: true, force: true }))

const run = async (file: string, words: readonly string[]): Promise<string> => {
  const { PATH } = process.env
  const env = { PATH, HOME: home, AWS_DEFAULT_REGION: 'us-east-1', AWS_PAGER: '', AWS_EC2_METADATA_DISABLED: 'true' }
  try {
    return (await promisify(execFile)(file, words, { env, timeout: 60_000 })).stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    return `failed: ${stdout}${stderr}`
  }
}

const aws = findTool('aws')
/** It parses everything and calls nothing. */
const dry = async ([, ...words]: Command): Promise<string> => {
  const given = words.map((word) => word.replace(/^file:\/\/.*/, '{}'))
  return run(aws!, [...given, '--generate-cli-skeleton', 'output'])
}

describe.skipIf(!aws)('aws', () => {
  // Of `s3` and `wait` there is no skeleton: they would call.
  const checked = typed('aws').filter(([, service, verb]) => service !== 's3' && verb !== 'wait')

  test('knows every command of the documents', async () => {
    expect(checked.length).toBeGreaterThan(5)
    // Of some answers that it makes up it then says itself that their values are too small.
    const refused = /usage:|Unknown options|Invalid choice|Error parsing/
    for (const words of checked) {
      const said = await dry(words)
      expect({ words, said }).toEqual({
        words,
        said: expect.not.stringMatching(refused),
      })
    }
  }, 120_000)

  test('would not know another', async () => {
    expect(await dry(['aws', 's3api', 'put-bucket-versionin'])).toContain('usage:')
    expect(
      await dry(['aws', 'sns', 'subscribe', '--topic-arn', 'a', '--protocol', 'email', '--attributes', '{']),
    ).toContain('Error parsing')
    expect(await dry(['aws', 'sns', 'subscribe', '--topic-arn', 'a', '--protocol', 'email', '--nope', 'x'])).toContain(
      'usage:',
    )
  }, 60_000)
})

const gcloud = findTool('gcloud')
/** Its options are global ones, or in its help. */
const problem = async ([, ...words]: Command): Promise<string | undefined> => {
  const at = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word))
  const verbs = at < 0 ? words : words.slice(0, at)
  const help = await run(gcloud!, [...verbs, '--help'])
  if (help.startsWith('failed')) return help
  const options = words.filter((word) => word.startsWith('--')).map((word) => word.replace(/=.*$/, ''))
  const unknown = options.filter((option) => !help.includes(option))
  return unknown.length === 0 ? undefined : `no ${unknown.join(', ')}`
}

describe.skipIf(!gcloud)('gcloud', () => {
  // Components that are installed apart are not known without them.
  const checked = typed('gcloud').filter(([, first]) => first !== 'beta' && first !== 'alpha')

  test('knows every command of the documents', async () => {
    expect(checked.length).toBeGreaterThan(3)
    const problems = await Promise.all(checked.map(async (words) => [words, await problem(words)] as const))
    expect(problems.filter(([, found]) => found !== undefined)).toEqual([])
  }, 120_000)

  test('would not know another', async () => {
    expect(await problem(['gcloud', 'services', 'enabel', 'x.googleapis.com'])).toContain('failed')
    expect(await problem(['gcloud', 'services', 'enable', 'x.googleapis.com', '--nope'])).toBe('no --nope')
  }, 60_000)
})
