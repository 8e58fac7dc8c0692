import { execFileSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { Template } from '../../local/lambda/template.ts'
import { parseConfig } from '../../shared/config.ts'
import { type Deployment, deployRefusals, parameterNames, unknownParameters } from '../../tools/deploy-checks.ts'
import { createService } from '../support/serverless.ts'
import { findTool } from '../support/tools.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

const config = parseConfig(
  JSON.stringify({
    formatVersion: 1,
    source: { account: '111122223333', region: 'us-east-1' },
    replica: { project: 'acme-replica', bucket: 'acme-lifeboat' },
    buckets: [{ name: 'acme-models' }],
  }),
  { stage: 'prod', file: 'lifeboat.yml' },
)
const audienceOf = (project: string): string =>
  `//iam.googleapis.com/projects/${project}/locations/global/workloadIdentityPools/lifeboat-prod/providers/aws`
const ready: Deployment = { config, stage: 'prod', region: 'us-east-1', audience: audienceOf('424242424242') }

describe('a deployment', () => {
  it('is not refused once everything is its own', () => {
    expect(deployRefusals(ready)).toEqual([])
  })

  it.each<[string, Partial<Deployment>, string]>([
    ['the placeholder of the audience', { audience: audienceOf('000000000000') }, 'gcpWifAudience: found //iam'],
    [
      'the name of a project in the audience',
      { audience: audienceOf('acme-replica') },
      'output wif_audience of infra/gcp',
    ],
    ['no audience', { audience: '' }, 'gcpWifAudience'],
    ['more than an audience', { audience: `${ready.audience}\nx` }, 'gcpWifAudience'],
    ['a local stage', { stage: 'local' }, 'stage local: functions of local stages take emulators'],
    ['a stage that begins as a local one', { stage: 'local-2' }, 'stage local-2'],
    [
      'another region',
      { region: 'eu-west-1' },
      'source.region: lifeboat.yml says us-east-1, and this would deploy to eu-west-1',
    ],
    [
      'an example account',
      { config: { ...config, source: { ...config.source, account: '123456789012' } } },
      'source.account',
    ],
    [
      'an example project',
      { config: { ...config, replica: { ...config.replica, project: 'example-project' } } },
      'replica.project',
    ],
    [
      'an example replica',
      { config: { ...config, replica: { ...config.replica, bucket: 'example-lifeboat' } } },
      'replica.bucket',
    ],
    [
      'an example bucket',
      { config: { ...config, buckets: [{ ...config.buckets[0]!, name: 'example-models' }] } },
      'buckets: example-models',
    ],
  ])('is refused with %s, and with that alone', (_what, change, message) => {
    expect(deployRefusals({ ...ready, ...change })).toEqual([expect.stringContaining(message)])
  })

  it('is not refused in a stage whose name only begins alike', () => {
    expect(deployRefusals({ ...ready, stage: 'locality' })).toEqual([])
  })

  it('is refused as lifeboat.yml is in the repository', () => {
    const asIs = parseConfig(read('lifeboat.yml'), { stage: 'dev', file: 'lifeboat.yml' })
    const refusals = deployRefusals({ ...ready, config: asIs, region: asIs.source.region })
    expect(refusals.map((line) => line.split(':')[0])).toEqual([
      'source.account',
      'replica.project',
      'replica.bucket',
      'buckets',
    ])
  })
})

describe('parameters', () => {
  it('are those that the files of the template take', () => {
    const files = ['serverless.yml', ...globSync('infra/aws/*.yml', { cwd: root })]
    const taken = files.flatMap((file) => [...read(file).matchAll(/\$\{param:(\w+)/g)].map(([, name]) => name!))
    expect([...new Set(taken)].sort()).toEqual([...parameterNames].sort())
  })

  it('are taken with the thresholds of the alarms that there are, and no others', () => {
    expect(unknownParameters(config, ['kmsKeyArn', 'objectsLagSeconds'])).toEqual([])
    expect(unknownParameters(config, ['kmsKey', 'ObjectsLagSeconds', 'rowsLagSeconds'])).toEqual([
      'kmsKey',
      'ObjectsLagSeconds',
      'rowsLagSeconds',
    ])
  })

  it('of the example are all taken, and every stage has its own audience', () => {
    const { default: common, ...stages } = parse(read('params.example.yml')) as Record<string, Record<string, unknown>>
    const given = [common!, ...Object.values(stages)].flatMap((section) => Object.keys(section))
    expect(unknownParameters(config, given)).toEqual([])
    for (const section of Object.values(stages)) expect(section).toHaveProperty('gcpWifAudience')
  })
})

const variables = ({ Resources }: Template): Record<string, string> =>
  (Resources['PlanObjectLambdaFunction']!.Properties['Environment'] as { Variables: Record<string, string> }).Variables
const defaults = ({ Parameters }: Template): Record<string, unknown> =>
  Object.fromEntries(Object.entries(Parameters).map(([name, { Default }]) => [name, Default]))

describe('the example of parameters', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-parameters-'))
  const service = createService(dir)
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  const packaged = async (stage: string): Promise<Template> => {
    service.setConfig(read('lifeboat.yml'))
    service.setParameters(read('params.example.yml'))
    expect(await service.run(['package', '--stage', stage])).toMatchObject({ failed: false })
    return service.template()
  }
  const lint = findTool('cfn-lint')

  it('packages a stage for production with its keys, topics and thresholds', async () => {
    const template = await packaged('prod')
    expect(defaults(template)).toMatchObject({
      KmsKeyArn: expect.stringMatching(/^arn:aws:kms:.*0$/),
      SourceKmsKeyArns: expect.stringMatching(/^arn:aws:kms:.*1$/),
      PageTopicArn: expect.stringMatching(/oncall-page$/),
      TicketTopicArn: expect.stringMatching(/oncall-ticket$/),
      RunbookUrl: 'https://wiki.example.com/lifeboat/runbook',
      ObjectsLagSeconds: 1800,
    })
    expect(variables(template)['POWERTOOLS_LOG_LEVEL']).toBe('INFO')
    expect(template.Resources['PlanObjectLogGroup']!.Properties['RetentionInDays']).toBe(90)
    expect(lint === undefined ? '' : String(execFileSync(lint, [service.templateFile]))).toBe('')
  }, 240_000)

  it('packages a stage for development with its own', async () => {
    const template = await packaged('dev')
    expect(defaults(template)).toMatchObject({ KmsKeyArn: '', PageTopicArn: '', ObjectsLagSeconds: 900 })
    expect(variables(template)['POWERTOOLS_LOG_LEVEL']).toBe('DEBUG')
    expect(template.Resources['PlanObjectLogGroup']!.Properties['RetentionInDays']).toBe(7)
  }, 240_000)
})
