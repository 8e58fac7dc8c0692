import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parseConfig } from '../../shared/config.ts'
import { functionNames, functionsOf } from '../../shared/doctor/functions.ts'
import { identities } from '../../tools/stack-settings.ts'
import { config, stage } from '../support/doctor-world.ts'

/** The doctor's list against what serverless.yml and its parts deploy. */

const root = new URL('../../', import.meta.url)
const templates = [
  'serverless.yml',
  ...readdirSync(new URL('infra/aws', root)).flatMap((name) => (name.endsWith('.yml') ? `infra/aws/${name}` : [])),
].map((file) => readFileSync(new URL(file, root), 'utf8'))
const inTemplates = (pattern: RegExp): string[] =>
  templates.flatMap((text) => [...text.matchAll(pattern)].map(([, name = '']) => name)).sort()

it('every function that is deployed is looked at', () => {
  const deployed = Object.keys(identities(config, stage)).map((name) => `lifeboat-prod-${name}`)
  expect(functionNames(config, stage).sort()).toEqual(deployed.sort())
})

it('every rule that is deployed is looked at', () => {
  const schedules = inTemplates(/- schedule:\s+name: lifeboat-\$\{sls:stage\}-(\S+)/g)
  const rules = inTemplates(/Type: AWS::Events::Rule\s+Properties:\s+Name: lifeboat-\$\{sls:stage\}-(\S+)/g)
  expect(
    functionsOf(config)
      .flatMap(({ rules: of = [] }) => of)
      .sort(),
  ).toEqual([...schedules, ...rules].sort())
})

it('every queue that calls a function is looked at', () => {
  const queueNames = new Map(
    templates.flatMap((text) =>
      [
        ...text.matchAll(/(\w+):\s+Type: AWS::SQS::Queue\s+Properties:\s+QueueName: lifeboat-\$\{sls:stage\}-(\S+)/g),
      ].map(([, id = '', name = '']) => [id, name] as const),
    ),
  )
  const called = inTemplates(/- sqs:\s+arn: !GetAtt (\w+)\.Arn/g).map((id) => queueNames.get(id))
  expect(called).not.toContain(undefined)
  expect(new Set(functionsOf(config).flatMap(({ queues = [] }) => queues))).toEqual(new Set(called))
})

it('without tables, nothing of rows is looked for, and a backfill reads objects alone', () => {
  const objects = parseConfig(
    `formatVersion: 1
source: { account: '111122223333', region: eu-west-1 }
replica: { project: example-project, bucket: replica }
buckets: [{ name: models }]
`,
    { stage, file: 'x' },
  )
  const found = functionsOf(objects)
  expect(found.flatMap(({ reads = [] }) => reads)).not.toContain('items')
  expect(found.some(({ name }) => ['applyChanges', 'redrive', 'compareRows'].includes(name))).toBe(false)
})

it('an epoch that has ended needs no event source any more', () => {
  const [users] = config.tables
  const streams = [
    { arn: 'arn:new', epoch: 2 },
    { arn: 'arn:old', epoch: 1 },
  ]
  const found = functionsOf({ ...config, tables: [{ ...users!, streams }] })
  expect(found.flatMap(({ streams: arns = [] }) => arns)).toEqual(['arn:new'])
})
