import { execFile } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { parameterNames } from '../../tools/deploy-checks.ts'
import { findTool } from '../support/tools.ts'
import { checkOf, unknownNames } from './commands.ts'
import {
  anchorsOf,
  type Command,
  commandsIn,
  fencesOf,
  filesNamedIn,
  linksOf,
  readDocument,
  root,
  withoutFences,
} from './markdown.ts'

/** What documents tell people to type and to open is there. */

const documents = globSync(['*.md', 'docs/**/*.md', 'infra/**/*.md', 'events/*.md'], { cwd: root }).toSorted()
/** Where everything in code that looks like a command is one. */
const instructions = ['README.md', 'CONTRIBUTING.md', 'docs/deploy.md', 'docs/runbook.md', 'infra/gcp/README.md']

const inline = (text: string): Command[] =>
  [...withoutFences(text).matchAll(/`((?:npx |npm |lifeboat |terraform |gcloud )[^`]+)`/g)].flatMap(([, code = '']) =>
    commandsIn(code),
  )
const commandsOf = (text: string): Command[] => [
  ...fencesOf(text)
    .filter(({ language }) => language === 'sh')
    .flatMap((fence) => commandsIn(fence.text)),
  ...inline(text),
]

const problemsOf = async (text: string): Promise<string[]> => {
  const found = await Promise.all(
    commandsOf(text).map(async (words) => {
      const known = checkOf(words)
      const problem = await known?.check(known.words, text)
      return problem === undefined ? [] : [`${words.join(' ')}: ${problem}`]
    }),
  )
  return found.flat()
}

/** Linked before it is there; taken out of here when it is. */
const coming = ['docs/backfill.md']

const brokenLinks = (document: string, text: string): string[] =>
  linksOf(text).filter((link) => {
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? document : normalize(join(dirname(document), file))
    if (!existsSync(join(root, target))) return !coming.includes(target)
    return anchor !== undefined && target.endsWith('.md') && !anchorsOf(readDocument(target)).has(anchor)
  })

describe('links and files', () => {
  test.for(documents)('%s: every link leads somewhere, every file is there', (document) => {
    const text = readDocument(document)
    const missing = filesNamedIn(text).filter(
      (file) => !existsSync(join(root, file)) && !existsSync(join(root, dirname(document), file)),
    )
    expect({ links: brokenLinks(document, text), missing }).toEqual({ links: [], missing: [] })
  })

  test('what is awaited is not there yet', () => {
    expect(coming.filter((file) => existsSync(join(root, file)))).toEqual([])
  })

  test('a link to nowhere, a heading that is gone and a file that is not there are found', () => {
    expect(
      brokenLinks('docs/x.md', '[a](nowhere.md) [b](runbook.md#no-such) [c](runbook.md#page) [d](#e)\n# E'),
    ).toEqual(['nowhere.md', 'runbook.md#no-such', '#e'])
    expect(filesNamedIn('see test/no/such.ts, `shared/errors.ts`')).toEqual(['test/no/such.ts', 'shared/errors.ts'])
  })
})

describe('commands', () => {
  test.for(instructions)('%s: every command, option and script is there', async (document) => {
    const text = readDocument(document)
    expect(commandsOf(text).length).toBeGreaterThan(0)
    expect(await problemsOf(text)).toEqual([])
  })

  test.for([
    ['npx lifeboat --stage prod no-such', "unknown command 'no-such'"],
    ['npx lifeboat restore llama --to ./llama --too', "unknown option '--too'"],
    ['lifeboat restore llama', "required option '--to <dir>'"],
    ['lifeboat diff', "missing required argument 'table'"],
    ['npm run no-such', 'no script no-such'],
    ['FOO=bar npm run no-such', 'no script no-such'],
    ['npx serverless deploy --stag prod', 'no --stag'],
    ['npx serverless deploy --param="kmsKey=x"', 'no kmsKey'],
    ['npx serverless deplo', 'no command deplo'],
    ['x=$(terraform -chdir=infra/gcp output -raw audience)', 'no audience'],
    ['cd infra/gcp && terraform apply -var-file=stages/no.tfvars', 'no -var-file=stages/no.tfvars'],
    ['terraform apply -var imge=x', 'no imge=x'],
    ['terraform state rm google_storage_bucket.replicas', 'no google_storage_bucket.replicas'],
  ])('%s is found', async ([script, problem]) => {
    expect((await problemsOf(`\`\`\`sh\n${script}\n\`\`\``)).join('\n')).toContain(problem)
  })

  test('shell is read as it is meant', () => {
    expect(
      commandsIn(`A=1 B=2 npm run x > out # why\nx=$(terraform output) && docker push "$x:1" | jq '.a | .b'`),
    ).toEqual([
      ['npm', 'run', 'x'],
      ['docker', 'push', '$x:1'],
      ['jq', '.a | .b'],
      ['terraform', 'output'],
    ])
  })
})

describe('parameters of docs/deploy.md', () => {
  const text = readDocument('docs/deploy.md')

  test('those in its params.yml are known', () => {
    const files = fencesOf(text).filter(({ language }) => language === 'yaml')
    const names = files.flatMap((fence) =>
      Object.values(parse(fence.text) as Record<string, object>).flatMap((section) => Object.keys(section)),
    )
    expect(names.length).toBeGreaterThan(2)
    expect(unknownNames(names)).toEqual([])
  })

  test('its table has all of them and no other', () => {
    const [, table = ''] = /\| parameter \| what \|\n([\s\S]*?)\n\n/.exec(text) ?? []
    const names = table
      .split('\n')
      .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name!))
    expect(unknownNames(names)).toEqual([])
    expect(parameterNames.filter((name) => !names.includes(name))).toEqual([])
  })
})

describe('costs in docs/deploy.md', () => {
  type Line = { line: string; quantity: number; price: number; dollars: number; tables: boolean }
  const row = /^\| ([^|*]+) \| ([\d,]+)[^|]* \| \$([\d.]+) an? (thousand|million)?[^|]*\| ([\d.]+) \| (yes )?\|$/gm
  const linesOf = (text: string): Line[] =>
    [...text.matchAll(row)].map(([, line = '', quantity = '', price, unit, dollars, tables]) => ({
      line,
      quantity: Number(quantity.replaceAll(',', '')) / (unit === 'million' ? 1e6 : unit === 'thousand' ? 1e3 : 1),
      price: Number(price),
      dollars: Number(dollars),
      tables: tables !== undefined,
    }))
  const text = readDocument('docs/deploy.md')
  const lines = linesOf(text)
  const sum = (some: readonly Line[]): string => some.reduce((all, { dollars }) => all + dollars, 0).toFixed(2)

  test('every line is its quantity times its price', () => {
    expect(lines.length).toBe([...text.matchAll(/^\| .*\| \$[\d.]+ an? /gm)].length)
    const wrong = lines.filter(({ quantity, price, dollars }) => Math.abs(quantity * price - dollars) > 0.0051)
    expect(wrong).toEqual([])
  })

  test('the sums are those of the lines', () => {
    expect(text).toContain(`| **all** | | | **${sum(lines)}** | |`)
    expect(text).toContain(`| **without tables** | | | **${sum(lines.filter(({ tables }) => !tables))}** | |`)
  })
})

/** Tools that say themselves whether they know a command. */
const all = instructions.flatMap((document) => commandsOf(readDocument(document)))
const of = (tool: string): Command[] => {
  const texts = new Set(all.filter(([name]) => name === tool).map((words) => JSON.stringify(words)))
  return [...texts].map((text) => JSON.parse(text) as Command)
}
const run = async (file: string, words: readonly string[]): Promise<string> => {
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, AWS_DEFAULT_REGION: 'us-east-1', AWS_PAGER: '', AWS_EC2_METADATA_DISABLED: 'true' }
  try {
    return (await promisify(execFile)(file, words, { env, timeout: 60_000 })).stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    return `failed: ${stdout}${stderr}`
  }
}

const aws = findTool('aws')
describe.skipIf(!aws)('aws', () => {
  /** It parses everything and calls nothing. */
  const dry = async ([, ...words]: Command): Promise<string> => {
    const given = words.map((word) => word.replace(/^file:\/\/.*/, '{}'))
    return run(aws!, [...given, '--generate-cli-skeleton', 'output'])
  }
  // Of `s3` and `wait` there is no skeleton: they would call.
  const checked = of('aws').filter(([, service, verb]) => service !== 's3' && verb !== 'wait')

  test('knows every command of the documents', async () => {
    expect(checked.length).toBeGreaterThan(5)
    for (const words of checked) {
      const said = await dry(words)
      expect({ words, said }).toEqual({
        words,
        said: expect.not.stringMatching(/usage:|Unknown options|Invalid choice/),
      })
    }
  }, 120_000)

  test('would not know another', async () => {
    expect(await dry(['aws', 's3api', 'put-bucket-versionin'])).toContain('usage:')
    expect(await dry(['aws', 'sns', 'subscribe', '--topic-arn', 'a', '--protocol', 'email', '--nope', 'x'])).toContain(
      'usage:',
    )
  }, 60_000)
})

const gcloud = findTool('gcloud')
describe.skipIf(!gcloud)('gcloud', () => {
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
  // Components that are installed apart are not known without them.
  const checked = of('gcloud').filter(([, first]) => first !== 'beta' && first !== 'alpha')

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
