import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { configJsonSchema, parseConfig } from '../../shared/config.ts'
import { InvalidInputError } from '../../shared/errors.ts'

const root = join(import.meta.dirname, '../..')
const sample = readFileSync(join(root, 'lifeboat.yml'), 'utf8')
const read = (text: string, stage = 'prod') => parseConfig(text, { stage, file: 'lifeboat.yml' })

const refusal = (text: string, stage = 'prod'): string => {
  try {
    read(text, stage)
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidInputError)
    return (error as Error).message
  }
  throw new Error('the configuration was accepted')
}

const minimal = `formatVersion: 1
source: { account: '012345678901', region: eu-west-1 }
replica: { project: example-project, bucket: example-lifeboat }
buckets: [{ name: example-models }]
`

const arn = (region: string, label: string) => `arn:aws:dynamodb:${region}:012345678901:table/features/stream/${label}`

describe('lifeboat.yml', () => {
  it('accepts the committed sample', () => {
    const config = read(sample)
    expect(config.source).toEqual({ account: '123456789012', region: 'eu-west-1' })
    expect(config.buckets[0]).toMatchObject({ name: 'example-models', prefix: 'models/' })
    expect(config.retention).toEqual({ days: 30, mode: 'Unlocked' })
  })

  it('fills in every default', () => {
    expect(read(minimal)).toEqual({
      formatVersion: 1,
      source: { account: '012345678901', region: 'eu-west-1' },
      replica: { project: 'example-project', bucket: 'example-lifeboat', prefix: '' },
      buckets: [
        {
          name: 'example-models',
          prefix: '',
          release: { path: '{model}/{version}/**', settleSeconds: 60, quietMinutes: 60 },
        },
      ],
      tables: [],
      rpo: { objectsMinutes: 15, rowsSeconds: 60 },
      retention: { days: 30, mode: 'Unlocked' },
    })
  })

  it('reads back what it wrote as JSON, as the functions do', () => {
    const config = read(sample, 'dev')
    expect(read(JSON.stringify(config), 'dev')).toEqual(config)
  })

  it('merges the maps of a stage and replaces its lists', () => {
    const text = `${minimal}retention: { days: 7, mode: Locked }
stages:
  dev: { retention: { days: 0 }, buckets: [{ name: other-models }] }
`
    expect(read(text, 'dev').retention).toEqual({ days: 0, mode: 'Locked' })
    expect(read(text, 'dev').buckets.map((bucket) => bucket.name)).toEqual(['other-models'])
    expect(read(text, 'prod').retention).toEqual({ days: 7, mode: 'Locked' })
  })

  it('lists every problem with its field, line, value and what is allowed', () => {
    const message = refusal(`formatVersion: 1
source: { account: 123456789012, region: eu-west-1 }
replica:
  project: example-project
  bucket: example-lifeboat
  prefix: /copies
buckets: [{ name: Example }]
`)
    expect(message.split('\n')).toEqual([
      'lifeboat.yml: 3 problems',
      '  source.account (line 2): found 123456789012 (a number), allowed: an AWS account id: 12 digits in quotes',
      '  replica.prefix (line 6): found "/copies", allowed: empty, or text that ends with / and does not begin with one, such as "models/"',
      '  buckets[0].name (line 7): found "Example", allowed: an S3 bucket name (3 to 63 of a-z, 0-9, dot and dash)',
    ])
  })

  it('refuses an unknown field and says which was meant', () => {
    expect(refusal(`${minimal}retentoin: { days: 1 }\n`)).toContain(
      'retentoin (line 5): found an unknown field, did you mean "retention"?',
    )
    expect(refusal(minimal.replace('name: example-models', 'name: example-models, release: { markers: x }'))).toContain(
      'buckets[0].release.markers (line 4): found an unknown field, did you mean "marker"?',
    )
    expect(refusal(`${minimal}zzz: 1\n`)).toContain(
      'zzz (line 5): found an unknown field, allowed: formatVersion, source',
    )
  })

  it('finds a mistake in the overrides of a stage that is not asked for, where it is written', () => {
    const message = refusal(`${minimal}stages:\n  prod:\n    rpo: { objectsMinutes: 0 }\n`, 'dev')
    expect(message).toContain('stages.prod.rpo.objectsMinutes (line 7): found 0 (a number), allowed: a whole number')
    expect(message).toContain('1 problem')
  })

  it('reports a problem of the file once, not again for every stage', () => {
    const message = refusal(minimal.replace("'012345678901'", "'1'") + 'stages: { dev: { rpo: { rowsSeconds: 5 } } }\n')
    expect(message).toContain('lifeboat.yml: 1 problem\n  source.account (line 2)')
  })

  it.each([
    ['a name listed twice with nested prefixes', '[{ name: aaa, prefix: m/ }, { name: aaa }]', 'buckets[1].prefix'],
    ['a bad template', '[{ name: aaa, release: { path: "{model}/x" } }]', 'buckets[0].release.path'],
    ['a canary in a release', '[{ name: aaa, prefix: m/, canary: llama/v1/canary }]', 'buckets[0].canary'],
    [
      'a canary in a model without versions',
      '[{ name: aaa, canary: a/b, release: { path: "{model}/**" } }]',
      'release.path',
    ],
    ['nothing to replicate', '[]', 'found nothing to replicate'],
  ])('refuses %s', (_, buckets, expected) => {
    expect(refusal(minimal.replace('[{ name: example-models }]', buckets))).toContain(expected)
  })

  it('accepts one bucket under two prefixes apart from each other', () => {
    const text = minimal.replace('[{ name: example-models }]', '[{ name: aaa, prefix: m/ }, { name: aaa, prefix: n/ }]')
    expect(read(text).buckets).toHaveLength(2)
  })

  it.each(['lifeboat-canary', 'lifeboat/canary'])('accepts the canary %s, which is of no release', (canary) => {
    const text = minimal.replace('[{ name: example-models }]', `[{ name: aaa, prefix: m/, canary: ${canary} }]`)
    expect(read(text).buckets[0]).toMatchObject({ canary })
  })

  it('checks the streams of a table against the table, the source and their order', () => {
    const tables = (first: string, firstEpoch: number) =>
      `${minimal}tables: [{ name: features, streams: [{ arn: '${first}', epoch: ${firstEpoch} }, { arn: '${arn('eu-west-1', '2026-02-01T00:00:00.000')}', epoch: 2 }] }]\n`
    expect(refusal(tables(arn('us-east-1', '2026-01-01T00:00:00.000'), 1))).toContain('tables[0].streams[0].arn')
    expect(refusal(tables(arn('eu-west-1', '2026-01-01T00:00:00.000'), 2))).toContain('found 2 after 2')
    expect(refusal(tables(arn('eu-west-1', '2026-01-01T00:00:00.000'), 1))).toContain('replica.bigtableInstance')
    const whole = tables(arn('eu-west-1', '2026-01-01T00:00:00.000'), 1).replace(
      'bucket: example-lifeboat',
      'bucket: example-lifeboat, bigtableInstance: features',
    )
    expect(read(whole).tables[0]).toMatchObject({ name: 'features', omit: [] })
  })

  it.each([
    ['a name too long for the history, without a target', [['t'.repeat(43)]], 'tables[0].name'],
    ['a target too long for the history', [['features', 't'.repeat(43)]], 'tables[0].target'],
    ['a target that is another table', [['features'], ['Users', 'features']], 'tables[1].target'],
    [
      'two tables of one target',
      [
        ['Features', 'features'],
        ['Users', 'features'],
      ],
      'tables[1].target',
    ],
    ['a table that is the history of another', [['features'], ['Users', 'features-history']], 'tables[1].target'],
  ] as [string, [string, string?][], string][])('refuses %s', (_, names, expected) => {
    const list = names.map(([name, target]) => {
      const stream = arn('eu-west-1', '2026-01-01T00:00:00.000').replace('table/features/', `table/${name}/`)
      const also = target === undefined ? '' : `, target: ${target}`
      return `{ name: ${name}${also}, streams: [{ arn: '${stream}', epoch: 1 }] }`
    })
    const text = `${minimal}tables: [${list.join(', ')}]\n`
    expect(
      refusal(text.replace('bucket: example-lifeboat', 'bucket: example-lifeboat, bigtableInstance: rows')),
    ).toMatch(new RegExp(`1 problem\\n  ${expected.replaceAll(/[[\].]/g, String.raw`\$&`)} `))
  })

  it.each([
    ['text that is not YAML', 'a: [', 'is not YAML'],
    ['an empty file', '', 'found no fields'],
    ['two keys of one name', `${minimal}formatVersion: 1\n`, 'is not YAML'],
  ])('refuses %s', (_, text, expected) => {
    expect(refusal(text)).toContain(expected)
  })

  it('refuses a stage whose name cannot be part of a resource name', () => {
    expect(refusal(minimal, 'Prod_1')).toContain('stage: found "Prod_1"')
  })

  it('is published as a JSON Schema that is current', () => {
    const published = readFileSync(join(root, 'docs/lifeboat.schema.json'), 'utf8')
    expect(published).toBe(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
  })
})
