import { existsSync, globSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { parameterNames } from '../../tools/deploy-checks.ts'
import { checkOf, unknownNames } from './commands.ts'
import {
  anchorsOf,
  commandsIn,
  commandsOf,
  fencesOf,
  filesNamedIn,
  instructions,
  linksOf,
  readDocument,
  root,
} from './markdown.ts'

/** What documents tell people to type and to open is there. */

const documents = globSync(['*.md', 'docs/**/*.md', 'infra/**/*.md', 'events/*.md'], { cwd: root }).toSorted()
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
const coming: string[] = []

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
