import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseConfig } from '../../shared/config.ts'
import { identities } from '../../tools/stack-settings.ts'
import { openTerraform } from './terraform.ts'

/** The file is written once and read by two languages: both must see the same in it. */

const terraform = await openTerraform()
afterAll(() => terraform?.close())
const folder = join(terraform?.dir ?? '', 'infra/gcp/config')

const stream = (table: string) => ({
  arn: `arn:aws:dynamodb:eu-west-1:123456789012:table/${table}/stream/2026-01-01T00:00:00.000`,
  epoch: 1,
})
const table = (name: string, more: object = {}) => ({ name, streams: [stream(name)], ...more })
const base = {
  formatVersion: 1,
  source: { account: '123456789012', region: 'eu-west-1' },
  replica: { project: 'replica-project', bucket: 'replica-bucket' },
  buckets: [{ name: 'models' }],
}
const rows = { ...base.replica, bigtableInstance: 'lifeboat', appProfile: 'profile' }

/** Tables by names as they are written. */
const tablesNamed = (names: string[]): string => {
  const lines = names.map((name) => {
    const { arn } = stream(name.replaceAll(/['"]/g, ''))
    return `  - name: ${name}\n    streams: [{ arn: '${arn}', epoch: 1 }]\n`
  })
  return `${stringify({ ...base, replica: rows })}tables:\n${lines.join('')}`
}

const files: Record<string, string> = {
  'the committed example': readFileSync(join(import.meta.dirname, '../../lifeboat.yml'), 'utf8'),
  'no stages': stringify(base),
  'an empty map of stages': stringify({ ...base, stages: {} }),
  'a stage that overrides nothing': stringify({ ...base, stages: { prod: null, dev: {} } }),
  'names as long as they may be': stringify({ ...base, replica: rows, tables: [table('t'.repeat(42))] }),
  JSON: JSON.stringify({ ...base, replica: rows, tables: [table('features')] }),
  'a map is merged': stringify({
    ...base,
    replica: { ...rows, prefix: 'a/b/' },
    stages: {
      prod: { replica: { project: 'prod-project', prefix: '' } },
      dev: { source: { account: '012345678901' } },
    },
  }),
  'a list is replaced': stringify({
    ...base,
    replica: rows,
    tables: [table('features'), table('Users.v2', { target: 'users' })],
    stages: { prod: { tables: [table('orders', { omit: ['blob'] })] }, dev: { tables: [] } },
  }),
  'only a stage has tables': stringify({
    ...base,
    stages: { prod: { replica: { bigtableInstance: 'prod-rows' }, tables: [table('features')] } },
  }),
  'a region for each stage': stringify({
    ...base,
    stages: { prod: { source: { region: 'us-east-1' } }, dev: { source: { region: 'ap-southeast-1' } } },
  }),
  'names that look like truth, time and numbers': tablesNamed([
    "'off'",
    '"yes"',
    'on-time',
    '2026-01-01a',
    '1e3x',
    '0x1g',
  ]),
  'anchors, comments and folded text': `# a comment\n${stringify({ formatVersion: 1, buckets: base.buckets })}source: &source { account: "123456789012", region: eu-west-1 } # here\nreplica:\n  project: >-\n    replica-project\n  bucket: 'replica-bucket'\n  bigtableInstance: lifeboat\nstages:\n  dev:\n    source: *source\n`,
}

const evaluate = async (name: string, text: string, stage: string) => {
  const file = join(folder, `${name}.yml`)
  const state = `-state=${name}.tfstate`
  await writeFile(file, text)
  const variables = ['-var', `config=${file}`, '-var', `stage=${stage}`]
  const applied = await terraform!.run(['apply', '-auto-approve', '-no-color', state, ...variables], folder)
  if (applied.code !== 0) return applied.stderr.replaceAll(/\s+/g, ' ')
  const { stdout } = await terraform!.run(['output', '-json', state], folder)
  const outputs = JSON.parse(stdout) as Record<string, { value: unknown }>
  const at = (output: string): unknown => outputs[output]?.value
  return {
    source: at('source'),
    project: at('project'),
    bucket: at('bucket'),
    bigtable: at('bigtable') ?? null,
    aws_roles: at('aws_roles'),
  }
}

const expected = (text: string, stage: string) => {
  const config = parseConfig(text, { stage, file: 'lifeboat.yml' })
  const { source, replica, tables } = config
  const roles = Object.values(identities(config, stage)).map(({ roleName, serviceAccount }) => [
    roleName,
    serviceAccount.split('@')[0],
  ])
  return {
    aws_roles: Object.fromEntries(roles) as Record<string, string>,
    source,
    project: replica.project,
    bucket: { name: replica.bucket, prefix: replica.prefix },
    bigtable:
      tables.length === 0
        ? null
        : {
            instance: replica.bigtableInstance,
            app_profile: replica.appProfile ?? null,
            tables: tables.map(({ name, target = name }) => target),
          },
  }
}

describe.skipIf(!terraform)('what lifeboat.yml says', () => {
  beforeAll(async () => {
    const { code, stdout, stderr } = await terraform!.run(['init', '-no-color'], folder)
    if (code !== 0) throw new Error(`terraform init: ${stdout}${stderr}`)
  })

  test.for(Object.entries(files))('%s: the same for Terraform and for the functions', async ([, text]) => {
    for (const stage of ['dev', 'prod', 'other']) {
      const found = await evaluate(`same-${stage}`, text, stage)
      expect({ stage, found }).toMatchObject({ stage, found: expected(text, stage) })
    }
  })

  const refused: [string, object, string][] = [
    ['an account that is a number', { ...base, source: { ...base.source, account: 123456789012 } }, 'source.account'],
    ['a region that is none', { ...base, source: { ...base.source, region: 'europe' } }, 'source.region'],
    ['a project with capitals', { ...base, replica: { ...base.replica, project: 'Replica' } }, 'replica.project'],
    ['a bucket with capitals', { ...base, replica: { ...base.replica, bucket: 'Replica' } }, 'replica.bucket'],
    ['a prefix without its slash', { ...base, replica: { ...base.replica, prefix: 'team' } }, 'replica.prefix'],
    [
      'a table whose history has too long a name',
      { ...base, replica: rows, tables: [table('t'.repeat(43))] },
      '42 characters',
    ],
    ['tables without an instance', { ...base, tables: [table('features')] }, 'replica.bigtableInstance'],
  ]
  test.for(refused)('%s is refused by both', async ([, wrong, what]) => {
    const text = stringify(wrong)
    expect(() => expected(text, 'dev')).toThrow(what)
    expect(await evaluate('refused', text, 'dev')).toContain(what)
  })

  test('what only Google or AWS forbids is refused before anything is made', async () => {
    const china = stringify({ ...base, source: { ...base.source, region: 'cn-north-1' } })
    expect(await evaluate('partition', china, 'dev')).toContain('China and GovCloud')
    const short = stringify({ ...base, replica: { ...rows, bigtableInstance: 'rows' }, tables: [table('features')] })
    expect(await evaluate('instance', short, 'dev')).toContain('6 to 33')
  })

  // Terraform's YAML takes off and yes for truth, and 2026-01-01 for a time: they would become other names there.
  test.for(['off', 'yes', '2026-01-01'])(
    'a table named %s without quotes is refused, and made with them',
    async (name) => {
      const found = expected(tablesNamed([name]), 'dev')
      expect(found.bigtable?.tables).toEqual([name])
      expect(await evaluate('words', tablesNamed([name]), 'dev')).toContain('goes in quotes')
      expect(await evaluate('words', tablesNamed([`'${name}'`]), 'dev')).toMatchObject(found)
    },
  )
})
