import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAlarms } from '../../local/cloudwatch/alarms.ts'
import { createMetricStore, minuteMs } from '../../local/cloudwatch/store.ts'
import { alarmSpecsOf } from '../../local/lambda/alarm-specs.ts'
import { packageStack } from '../../local/lambda/package.ts'
import { createResolver, type Physical, type Template } from '../../local/lambda/template.ts'
import { parseConfig } from '../../shared/config.ts'
import { proofMetrics } from '../../shared/proof/metrics.ts'
import { alarmResources } from '../../tools/alarm-resources.ts'
import { thresholds } from '../../tools/alarm-thresholds.ts'
import { findTool } from '../support/tools.ts'

const configText = JSON.stringify({
  formatVersion: 1,
  source: { account: '111122223333', region: 'us-east-1' },
  replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
  buckets: [{ name: 'models', canary: 'lifeboat-canary' }],
  tables: [
    {
      name: 'features',
      canary: { partition: 'lifeboat-canary' },
      streams: [
        { arn: 'arn:aws:dynamodb:us-east-1:111122223333:table/features/stream/2026-01-01T00:00:00.000', epoch: 1 },
      ],
    },
  ],
  rpo: { objectsMinutes: 20, rowsSeconds: 90 },
  budget: { sentGiBPerDay: 2 },
})
const config = parseConfig(configText, { stage: 'prod', file: 'lifeboat.yml' })

type Properties = Record<string, unknown>
type Sub = { 'Fn::Sub': string }

let dir: string
let template: Template
let buildDir: string
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-alarms-'))
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  ;({ template, buildDir } = await packageStack({ configFile, stage: 'prod', cacheDir: join(dir, 'cache') }))
}, 180_000)
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const ofType = (type: string): Properties[] =>
  Object.values(template.Resources)
    .filter(({ Type }) => Type === type)
    .map(({ Properties }) => Properties)
const alarms = (): Properties[] => ofType('AWS::CloudWatch::Alarm')
const shortName = (alarm: Properties): string => String(alarm['AlarmName']).replace(/^lifeboat-prod-/, '')
const functionNames = (): string[] =>
  ofType('AWS::Lambda::Function').map(({ FunctionName }) => String(FunctionName).replace(/^lifeboat-prod-/, ''))

/** State that is measured all the time: no data is a breach. Everything else happens or does not. */
const breachesWithoutData = [
  'objects-lag',
  'heartbeat-silent',
  'objects-canary-silent',
  'dead-letters',
  'rows-lag',
  'rows-canary-silent',
  'quarantine',
  'rows-comparison-overdue',
  'reconcile-overdue',
  'validation-overdue',
  'scrub-coverage',
]
const dailyChecks = { ValidationAgeSeconds: 93_600, ReconcileAgeSeconds: 93_600, RowsComparedAgeSeconds: 93_600 }
const setAside = ['objects-set-aside-quarantined', 'objects-set-aside-refused']
const fineWithoutData = ['bytes-sent', ...setAside, 'rows-differ', 'validation-failed', 'objects-unannounced']
const perFunction = (): string[] =>
  functionNames().flatMap((name) => [`function-errors-${name}`, `function-throttles-${name}`])
const mappings = (): string[] =>
  Object.keys(template.Resources).filter((name) => {
    const { Type, Properties } = template.Resources[name]!
    return Type === 'AWS::Lambda::EventSourceMapping' && Properties['StartingPosition'] !== undefined
  })

describe('the alarms of the packaged stack', () => {
  it('are these, with what missing data means to each', () => {
    const fine = [
      ...fineWithoutData,
      ...perFunction(),
      'iterator-age-commitObject',
      'iterator-age-applyChanges',
      ...mappings().flatMap((name) => [`events-given-up-${name}`, `events-dropped-${name}`]),
      'dead-letters-ObjectsDeadQueue',
      'dead-letters-SegmentsDeadQueue',
      'dead-letters-BackfillDeadQueue',
    ]
    expect(mappings()).toHaveLength(2)
    expect(functionNames()).toContain('applyChanges')
    const treated = Object.fromEntries(alarms().map((alarm) => [shortName(alarm), alarm['TreatMissingData']]))
    expect(treated).toEqual(
      Object.fromEntries([
        ...breachesWithoutData.map((name) => [name, 'breaching']),
        ...fine.map((name) => [name, 'notBreaching']),
      ]),
    )
  })

  it('use metrics that Lifeboat promises, or AWS has', () => {
    const aws: Record<string, string[]> = {
      'AWS/SQS': ['ApproximateNumberOfMessagesVisible'],
      'AWS/Lambda': [
        'Errors',
        'Throttles',
        'IteratorAge',
        'OnFailureDestinationDeliveredEventCount',
        'DroppedEventCount',
      ],
    }
    for (const { Namespace, MetricName, Dimensions } of alarms()) {
      const known = Namespace === 'Lifeboat' ? Object.keys(proofMetrics) : (aws[String(Namespace)] ?? [])
      expect(known).toContain(MetricName)
      const own = { Name: 'service', Value: 'lifeboat-prod' }
      const [first, ...others] = Dimensions as Properties[]
      expect([Namespace === 'Lifeboat' ? first : own, others]).toEqual([own, []])
    }
  })

  it('wake no one for one late datapoint', () => {
    const states = alarms().filter((alarm) => alarm['TreatMissingData'] === 'breaching')
    for (const alarm of states) expect(Number(alarm['DatapointsToAlarm'])).toBeGreaterThanOrEqual(3)
    for (const alarm of alarms()) {
      expect(Number(alarm['DatapointsToAlarm'])).toBeLessThanOrEqual(Number(alarm['EvaluationPeriods']))
      // https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
      const [period, length] = [Number(alarm['Period']), Number(alarm['Period']) * Number(alarm['EvaluationPeriods'])]
      expect(length).toBeLessThanOrEqual(period < 3600 ? 86_400 : 604_800)
    }
  })

  it('have thresholds that are parameters, with what lifeboat.yml says as defaults', () => {
    const used = alarms().flatMap(({ Threshold }) =>
      typeof Threshold === 'object' ? [(Threshold as { Ref: string }).Ref] : [],
    )
    expect(used.sort()).toEqual(Object.keys(thresholds(config)).sort())
    const defaults = Object.fromEntries(used.map((name) => [name, template.Parameters[name]?.Default]))
    expect(defaults).toEqual({
      ObjectsLagSeconds: 1200,
      ObjectsCanarySeconds: 1800,
      CommitIteratorAgeMs: 600_000,
      ...dailyChecks,
      ScrubCoverageDays: 30,
      BytesSentPerDay: 2 * 2 ** 30,
      RowsLagSeconds: 90,
      RowsCanarySeconds: 690,
      RowsIteratorAgeMs: 90_000,
    })
  })

  it('are all in one of two composite alarms, each of which tells its topic', () => {
    const composites = ofType('AWS::CloudWatch::CompositeAlarm')
    expect(composites.map(shortName)).toEqual(['page', 'ticket'])
    const named = composites.map(({ AlarmRule }) =>
      [...String(AlarmRule).matchAll(/ALARM\("([^"]+)"\)/g)].map(([, name = '']) => name),
    )
    expect(named.flat().toSorted()).toEqual(
      alarms()
        .map((alarm) => String(alarm['AlarmName']))
        .toSorted(),
    )
    for (const [index, { AlarmRule }] of composites.entries())
      expect(String(AlarmRule).split(' OR ')).toHaveLength(named[index]!.length)
    for (const [index, topic] of ['Page', 'Ticket'].entries())
      expect(composites[index]!['AlarmActions']).toEqual([
        { 'Fn::If': [`Own${topic}Topic`, { Ref: `${topic}Topic` }, { Ref: `${topic}TopicArn` }] },
      ])
    expect(named[0]).toContain('lifeboat-prod-objects-lag')
    expect(named[1]).toContain('lifeboat-prod-function-errors-planObject')
    for (const alarm of alarms()) expect(alarm['AlarmActions']).toBeUndefined()
  })

  it('tell encrypted topics that only CloudWatch of this account may write to', () => {
    for (const topic of ofType('AWS::SNS::Topic')) expect(topic['KmsMasterKeyId']).toEqual({ Ref: 'AlarmTopicsKey' })
    const policies = ofType('AWS::SNS::TopicPolicy')
    expect(policies).toHaveLength(2)
    for (const policy of policies) {
      const { Statement } = policy['PolicyDocument'] as { Statement: Properties[] }
      expect(Statement).toMatchObject([
        {
          Effect: 'Allow',
          Principal: { Service: 'cloudwatch.amazonaws.com' },
          Action: 'sns:Publish',
          Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
        },
      ])
    }
  })

  it('link to a section of the runbook each, and every section of an alarm has one', () => {
    const text = readFileSync(join(import.meta.dirname, '../../docs/runbook.md'), 'utf8')
    const sections = [...text.matchAll(/^## ([a-z-]+)$/gm)].map(([, name]) => name!)
    const links = [...alarms(), ...ofType('AWS::CloudWatch::CompositeAlarm')].map((alarm) => {
      const description = (alarm['AlarmDescription'] as Sub)['Fn::Sub']
      const [, means, section] = /^([A-Z].+[.:a-z]) \$\{RunbookUrl\}#([a-z-]+)$/.exec(description) ?? []
      expect(means?.length).toBeGreaterThan(20)
      return section!
    })
    expect([...new Set(links)].sort()).toEqual(sections.toSorted())
    expect(new Set(sections).size).toBe(sections.length)
    const parts = text.split(/^## /m).filter((part) => sections.slice(2).some((name) => part.startsWith(`${name}\n`)))
    expect(parts).toHaveLength(sections.length - 2)
    for (const part of parts)
      for (const heading of ['**Means.**', '**Look.**', '**Do.**', '**Escalate**']) expect(part).toContain(heading)
  })

  it('have charts beside them', () => {
    const [dashboard] = ofType('AWS::CloudWatch::Dashboard')
    const body = JSON.parse((dashboard!['DashboardBody'] as Sub)['Fn::Sub']) as {
      widgets: { properties: { metrics?: unknown[][]; alarms?: string[] } }[]
    }
    const shown = body.widgets.flatMap(({ properties }) => (properties.metrics ?? []).map(([, name]) => String(name)))
    const wanted = [
      'OldestPendingSeconds',
      'FeatureLagSeconds',
      'PendingObjects',
      'BytesRead',
      'BytesSent',
      'BytesSaved',
      'ValidationFailures',
      ...Object.keys(dailyChecks),
      'ScrubCoverageDays',
      'QuarantinedChanges',
      'ObjectCanaryAgeSeconds',
      'RowCanaryAgeSeconds',
    ]
    expect(wanted.filter((name) => !shown.includes(name))).toEqual([])
    const lambda = ['Errors', 'Throttles', 'IteratorAge']
    expect(shown.filter((name) => !(name in proofMetrics) && !lambda.includes(name))).toEqual([])
    expect(body.widgets[0]!.properties.alarms).toHaveLength(alarms().length + 2)
  })

  const lint = findTool('cfn-lint')
  it.skipIf(!lint)(
    'have nothing that cfn-lint reports',
    () => {
      const file = join(buildDir, '../.serverless/cloudformation-template-update-stack.json')
      expect(String(execFileSync(lint!, [file]))).toBe('')
    },
    120_000,
  )
})

/** The template's alarms in a CloudWatch whose clock the test moves. */
const simulate = () => {
  const physical = new Map<string, Physical>(
    Object.keys(template.Resources).map((name) => [name, { ref: name, attributes: { Arn: name, QueueName: name } }]),
  )
  const common = { account: '111122223333', region: 'us-east-1', stackName: 'lifeboat-prod', physical }
  const specs = alarmSpecsOf(template, createResolver({ template, ...common }))
  const store = createMetricStore()
  const evaluated = createAlarms(store)
  evaluated.put(specs, 0)
  let now = 0
  return {
    specs,
    /** One period of an alarm with a datapoint or without, minute by minute; answers the state at its end. */
    pass: (name: string, value: number | undefined): string | undefined => {
      const { namespace, metric, dimensions, periodSeconds } = specs.find((spec) => spec.name === name)!
      if (value !== undefined) store.add({ namespace, name: metric, dimensions, values: [value], timestampMs: now })
      now += periodSeconds * 1000
      expect(now % minuteMs).toBe(0)
      evaluated.evaluate(now)
      return evaluated.list().find((alarm) => alarm.name === name)?.state
    },
    state: (name: string) => evaluated.list().find((alarm) => alarm.name === name)?.state,
  }
}

describe('every alarm of the packaged stack, evaluated', () => {
  it('knows nothing at first, fires for what it is about, ends with it, and takes silence as it says', () => {
    const names = simulate().specs.map(({ name }) => name)
    expect(names).toHaveLength(alarms().length)
    for (const name of names) {
      const { specs, pass, state } = simulate()
      const spec = specs.find((one) => one.name === name)!
      const above = spec.comparison === 'GreaterThanThreshold'
      const [good, bad] = above ? [spec.threshold, spec.threshold + 1] : [spec.threshold, spec.threshold - 1]
      const passes = (count: number, value: number | undefined) =>
        Array.from({ length: count }, () => pass(name, value)).at(-1)
      expect([name, state(name)]).toEqual([name, 'INSUFFICIENT_DATA'])
      expect([name, passes(spec.evaluationPeriods, good)]).toEqual([name, 'OK'])
      // One datapoint short of an alarm, then the one; then as many good ones as it takes.
      const almost = spec.datapointsToAlarm === 1 ? 'OK' : passes(spec.datapointsToAlarm - 1, bad)
      expect([name, almost]).toEqual([name, 'OK'])
      expect([name, pass(name, bad)]).toEqual([name, 'ALARM'])
      expect([name, passes(spec.evaluationPeriods, good)]).toEqual([name, 'OK'])
      const silent = passes(spec.evaluationPeriods + 2, undefined)
      expect([name, silent]).toEqual([name, spec.missing === 'breaching' ? 'ALARM' : 'OK'])
    }
  })

  it('does not fire for a datapoint that is late', () => {
    const { pass } = simulate()
    const name = 'lifeboat-prod-objects-lag'
    for (let minute = 0; minute < 10; minute += 1) pass(name, 0)
    expect([pass(name, undefined), pass(name, undefined), pass(name, 0)]).toEqual(['OK', 'OK', 'OK'])
  })
})

describe('alarms', () => {
  const subjects = { functions: [], streamMappings: [], deadQueues: [] }

  it('are fewer without tables and canaries', () => {
    const few = {
      ...config,
      tables: [],
      buckets: [{ ...config.buckets[0]!, canary: undefined }],
    } as unknown as typeof config
    const names = Object.keys(alarmResources(few, 'prod', subjects))
    expect(names.filter((name) => /Rows|Canary|AlarmQuarantine|ApplyChanges/.test(name))).toEqual([])
    expect(Object.keys(thresholds(few)).filter((name) => /Rows|Canary/.test(name))).toEqual([])
  })

  it('are refused where a composite alarm could not name them all', () => {
    const streamMappings = Array.from({ length: 80 }, (_, index) => `ApplyChangesOfATableWithALongNameEpoch${index}`)
    expect(() => alarmResources(config, 'prod', { ...subjects, streamMappings })).toThrow('allowed: 100 of 10240')
  })
})
