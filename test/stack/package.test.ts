import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { matchesPattern } from '../../local/lambda/event-pattern.ts'
import { packageStack } from '../../local/lambda/package.ts'
import type { Template } from '../../local/lambda/template.ts'
import { type Config, parseConfig } from '../../shared/config.ts'
import { stagePattern } from '../../shared/config-schema.ts'
import { buildFunctions } from '../../tools/build.ts'
import { identities, stackSettings } from '../../tools/stack-settings.ts'
import { unzip } from '../support/unzip.ts'
import { findTool } from '../support/tools.ts'

const root = join(import.meta.dirname, '../..')
const configFile = join(root, 'lifeboat.yml')
const config: Config = parseConfig(readFileSync(configFile, 'utf8'), { stage: 'dev', file: 'lifeboat.yml' })

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-package-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const fixture = (name: string): string => {
  const home = join(dir, name)
  mkdirSync(join(home, 'functions'), { recursive: true })
  writeFileSync(
    join(home, 'functions/shared.ts'),
    `export const hello = (name: string): string => \`hello \${name}\`\n`,
  )
  writeFileSync(
    join(home, 'functions/greet.ts'),
    `import { hello } from './shared.ts'\nconst path = require('node:path')\nexport const handler = async (event: { name: string }) => path.join(hello(event.name), 'x')\n`,
  )
  return home
}
const build = async (home: string, outDir: string) => {
  const [built] = await buildFunctions({ root: home, names: ['greet'], config, outDir: join(dir, outDir) })
  return built!
}

describe('a bundle', () => {
  it('has the same bytes wherever and whenever it is built', async () => {
    const first = await build(fixture('here'), 'out-1')
    const zone = process.env['TZ']
    process.env['TZ'] = 'Pacific/Auckland'
    const second = await build(fixture('there'), 'out-2').finally(() => {
      if (zone === undefined) delete process.env['TZ']
      else process.env['TZ'] = zone
    })
    expect(readFileSync(second.zip).equals(readFileSync(first.zip))).toBe(true)
    expect(second.sha256).toBe(first.sha256)
  })

  it('holds the module under its handler path, its map without sources, and the configuration of the stage', async () => {
    const { zip } = await build(fixture('here'), 'out-3')
    const files = await unzip(zip)
    expect([...files.keys()]).toEqual(['functions/greet.mjs', 'functions/greet.mjs.map', 'lifeboat.json'])
    expect(JSON.parse(String(files.get('lifeboat.json')))).toEqual(config)
    expect(JSON.parse(String(files.get('functions/greet.mjs.map')))).not.toHaveProperty('sourcesContent')
    expect(String(files.get('functions/greet.mjs.map'))).not.toContain(tmpdir())
  })

  it('runs from its unpacked folder alone, with require where a dependency asks for it', async () => {
    const { unpacked } = await build(fixture('here'), 'out-4')
    const program = `const { handler } = await import('./functions/greet.mjs'); console.log(await handler({ name: 'you' }))`
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: unpacked })
    expect(String(output)).toBe('hello you/x\n')
  })
})

const event = (name: string, key: string) => ({
  source: 'aws.s3',
  account: '123456789012',
  'detail-type': 'Object Created',
  detail: { bucket: { name }, object: { key } },
})

describe('what the configuration becomes', () => {
  const bucket = (name: string, prefix: string) => ({ name, prefix, release: config.buckets[0]!.release })
  const buckets = [bucket('aaa', ''), bucket('bbb', 'm*d$/'), bucket('bbb', 'n/')]
  const settings = stackSettings({ ...config, buckets }, 'dev')
  it.each([
    ['aaa', 'any', true],
    ['bbb', 'm*d$/x', true],
    ['bbb', 'n/x', true],
    ['bbb', 'mad/x', false],
    ['ccc', 'n/x', false],
  ])('lets %s/%s through: %s', (name, key, expected) => {
    expect(matchesPattern(settings.objectEvents, event(name, key))).toBe(expected)
  })

  it('names every bucket once and escapes what IAM would read as a wildcard', () => {
    expect(settings.bucketArns.map((arn) => arn['Fn::Sub'])).toEqual([
      'arn:${AWS::Partition}:s3:::aaa',
      'arn:${AWS::Partition}:s3:::bbb',
    ])
    expect(settings.objectArns[1]!['Fn::Sub']).toBe('arn:${AWS::Partition}:s3:::bbb/m${!*}d${!$}/*')
  })

  it('is refused without a bucket', () => {
    expect(() => stackSettings({ ...config, buckets: [] }, 'dev')).toThrow('at least one')
  })
})

const identitiesOf = (stage: string, region: string) =>
  Object.values(identities({ ...config, source: { ...config.source, region } }, stage))

describe('what a function is called on either side', () => {
  it('differs by stage and region, since IAM knows neither, and says who it becomes', () => {
    expect(identitiesOf('dev', 'eu-west-1')[0]).toEqual({
      roleName: 'lifeboat-dev-eu-west-1-planObject',
      serviceAccount: 'lifeboat-writer@example-project.iam.gserviceaccount.com',
    })
    const names = [
      ['dev', 'eu-west-1'],
      ['dev', 'us-east-1'],
      ['prod', 'us-east-1'],
    ]
      .map(([stage, region]) => identitiesOf(stage!, region!))
      .flat()
    expect(new Set(names.map(({ roleName }) => roleName)).size).toBe(names.length)
  })

  it('fits into the 64 characters of a role, and the bucket into its 63, for the longest stage and region', () => {
    const [stage, region] = ['s'.repeat(20), 'ap-southeast-1']
    expect(stage).toMatch(stagePattern)
    for (const { roleName } of identitiesOf(stage, region)) expect(roleName.length).toBeLessThanOrEqual(64)
    const [, bucketName = ''] =
      /BucketName: !Sub '([^']+)'/.exec(readFileSync(join(root, 'infra/aws/failed-batches.yml'), 'utf8')) ?? []
    const name = bucketName
      .replace('${sls:stage}', stage)
      .replace('${AWS::Region}', region)
      .replace('${AWS::AccountId}', '1'.repeat(12))
    expect(name).toMatch(/^[a-z0-9-]{20,63}$/)
  })
})

describe('the cache of packages', () => {
  it('makes a package once, for several at a time too, and anew when a source changes', async () => {
    const home = join(dir, 'repository')
    mkdirSync(join(home, 'functions'), { recursive: true })
    // A copy: what this machine's owner edits meanwhile must not change it.
    for (const path of ['serverless.yml', 'package.json', 'package-lock.json', 'infra', 'tools', 'shared'])
      cpSync(join(root, path), join(home, path), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'))
    for (const name of readdirSync(join(root, 'functions')))
      writeFileSync(join(home, 'functions', name), 'export const handler = async () => 1\n')
    const cacheDir = join(dir, 'cache-of-fixture')
    const pack = async () => (await packageStack({ configFile, stage: 'dev', cacheDir, root: home })).buildDir
    const [first, second] = await Promise.all([pack(), pack()])
    const made = statSync(first).ino
    expect([second, await pack(), statSync(first).ino]).toEqual([first, first, made])
    expect(readdirSync(cacheDir)).toHaveLength(1)
    writeFileSync(join(home, 'functions/plan-object.ts'), 'export const handler = async () => 2\n')
    const changed = await pack()
    expect(changed).not.toBe(first)
    expect(readFileSync(join(changed, 'plan-object/functions/plan-object.mjs'), 'utf8')).not.toBe(
      readFileSync(join(first, 'plan-object/functions/plan-object.mjs'), 'utf8'),
    )
  }, 120_000)
})

type Properties = Record<string, unknown>

const target = (value: unknown): string => (value as { 'Fn::GetAtt': [string, string] })['Fn::GetAtt'][0]

describe('the packaged stack', () => {
  let template: Template
  let buildDir: string
  const templateFile = () => join(buildDir, '../.serverless/cloudformation-template-update-stack.json')
  beforeAll(async () => {
    ;({ template, buildDir } = await packageStack({ configFile, stage: 'dev', cacheDir: join(dir, 'cache') }))
  }, 120_000)

  const ofType = (type: string): [string, Properties][] =>
    Object.entries(template.Resources)
      .filter(([, resource]) => resource.Type === type)
      .map(([name, resource]) => [name, resource.Properties])
  const properties = (name: string): Properties => template.Resources[name]!.Properties

  it('has the bundle and configuration of every function', () => {
    for (const [, { Handler }] of ofType('AWS::Lambda::Function')) {
      const bundle = String(Handler).replace(/^functions\/(.*)\.handler$/, '$1')
      expect(JSON.parse(readFileSync(join(buildDir, bundle, 'lifeboat.json'), 'utf8'))).toEqual(config)
      expect(readFileSync(join(buildDir, bundle, `functions/${bundle}.mjs`), 'utf8').length).toBeGreaterThan(1000)
    }
    const handlers = ofType('AWS::Lambda::Function').map(([, { Handler }]) => String(Handler).split(/[/.]/)[1])
    // Without tables nothing of rows is deployed.
    const ofRows = new Set(['apply-changes', 'redrive', 'compare-rows'])
    const names = readdirSync(join(root, 'functions')).map((file) => file.replace('.ts', ''))
    expect(new Set(handlers)).toEqual(new Set(names.filter((name) => !ofRows.has(name))))
  })

  it('hides a message for at least six times its function, and keeps what fails five times', () => {
    const mappings = ofType('AWS::Lambda::EventSourceMapping').filter(
      ([, mapping]) => template.Resources[target(mapping['EventSourceArn'])]?.Type === 'AWS::SQS::Queue',
    )
    // Objects, segments, and both of backfills.
    expect(mappings).toHaveLength(4)
    for (const [, mapping] of mappings) {
      const queue = properties(target(mapping['EventSourceArn']))
      const { Timeout } = properties(target(mapping['FunctionName']))
      expect(Number(queue['VisibilityTimeout'])).toBeGreaterThanOrEqual(6 * Number(Timeout))
      const redrive = queue['RedrivePolicy'] as { maxReceiveCount: number; deadLetterTargetArn: unknown }
      expect(redrive.maxReceiveCount).toBe(5)
      const dead = properties(target(redrive.deadLetterTargetArn))
      expect([queue['MessageRetentionPeriod'], dead['MessageRetentionPeriod']]).toEqual([345_600, 1_209_600])
      expect(mapping['FunctionResponseTypes']).toEqual(['ReportBatchItemFailures'])
    }
  })

  it('lets every function write its own logs and nobody else', () => {
    for (const [, role] of ofType('AWS::IAM::Role')) {
      const functionName = String(role['RoleName']).replace('-eu-west-1-', '-')
      const groups = JSON.stringify(role).match(/log-group:[^"]*/g)
      expect(groups).toEqual([`log-group:/aws/lambda/${functionName}:*`])
    }
  })

  it('reads the ledger stream from its beginning, without end, and stores what is too old whole', () => {
    const [, mapping] = ofType('AWS::Lambda::EventSourceMapping').find(([name]) => name.includes('Dynamodb'))!
    expect(mapping).toMatchObject({
      StartingPosition: 'TRIM_HORIZON',
      BisectBatchOnFunctionError: true,
      MaximumRetryAttempts: -1,
      MaximumRecordAgeInSeconds: 82_800,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      DestinationConfig: { OnFailure: { Destination: { 'Fn::GetAtt': ['FailedBatchesBucket', 'Arn'] } } },
    })
    const { Filters } = mapping['FilterCriteria'] as { Filters: { Pattern: string }[] }
    const passes = (eventName: string, left: string, state: string): boolean =>
      Filters.some(({ Pattern }) =>
        matchesPattern(JSON.parse(Pattern) as Properties, {
          eventName,
          dynamodb: { NewImage: { state: { S: state }, left: { N: left } } },
        }),
      )
    expect([passes('INSERT', '0', 'copying'), passes('MODIFY', '0', 'copying')]).toEqual([true, true])
    expect([passes('MODIFY', '1', 'copying'), passes('MODIFY', '0', 'protected')]).toEqual([false, false])
  })

  const lint = findTool('cfn-lint')
  it.skipIf(!lint)(
    'has nothing that cfn-lint reports',
    () => {
      expect(String(execFileSync(lint!, [templateFile()]))).toBe('')
    },
    120_000,
  )
})
