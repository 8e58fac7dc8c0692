import type { Config } from '../shared/config.ts'
import { InvalidInputError } from '../shared/errors.ts'
import { type Alarm, type AlarmSubjects, alarmsOf } from './alarm-list.ts'

type Resource = { Type: string; Properties: Record<string, unknown>; DependsOn?: string[] }
type Resources = Record<string, Resource>

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html */
const ruleCharactersMax = 10_240
const ruleAlarmsMax = 100
const alarmNameCharactersMax = 255

const logicalId = ({ name }: Alarm): string =>
  `Alarm${name.replaceAll(/(^|-)([A-Za-z])/g, (_, __, letter: string) => letter.toUpperCase())}`

const physicalName = ({ name }: Alarm, stage: string): string =>
  `lifeboat-${stage}-${name}`.slice(0, alarmNameCharactersMax)

const comparison = { above: 'GreaterThanThreshold', below: 'LessThanThreshold' } as const

const metricAlarm = (alarm: Alarm, stage: string): Resource => {
  const { metric, threshold } = alarm
  const dimensions = metric.namespace === 'Lifeboat' ? { service: `lifeboat-${stage}` } : metric.dimensions
  return {
    Type: 'AWS::CloudWatch::Alarm',
    Properties: {
      AlarmName: physicalName(alarm, stage),
      AlarmDescription: { 'Fn::Sub': `${alarm.means} \${RunbookUrl}#${alarm.section}` },
      Namespace: metric.namespace,
      MetricName: metric.name,
      Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value })),
      Statistic: alarm.statistic,
      Period: alarm.periodSeconds,
      EvaluationPeriods: alarm.of,
      DatapointsToAlarm: alarm.datapoints,
      ComparisonOperator: comparison[alarm.breach],
      Threshold: typeof threshold === 'number' ? threshold : { Ref: threshold },
      TreatMissingData: alarm.missing,
    },
  }
}

/** The two alarms that tell someone: each names every alarm of its severity. */
const compositeAlarm = (alarms: readonly Alarm[], severity: Alarm['severity'], stage: string): Resource => {
  const members = alarms.filter((alarm) => alarm.severity === severity)
  const rule = members.map((alarm) => `ALARM("${physicalName(alarm, stage)}")`).join(' OR ')
  if (members.length > ruleAlarmsMax || rule.length > ruleCharactersMax)
    throw new InvalidInputError(
      `tables: their streams make ${members.length} ${severity} alarms of ${rule.length} characters, allowed: ${ruleAlarmsMax} of ${ruleCharactersMax}; deploy some of the tables as another stage`,
    )
  const topic = severity === 'page' ? 'Page' : 'Ticket'
  const action = { 'Fn::If': [`Own${topic}Topic`, { Ref: `${topic}Topic` }, { Ref: `${topic}TopicArn` }] }
  const says = severity === 'page' ? 'Someone is needed now' : 'Someone is needed this working day'
  return {
    Type: 'AWS::CloudWatch::CompositeAlarm',
    DependsOn: members.map(logicalId),
    Properties: {
      AlarmName: `lifeboat-${stage}-${severity}`,
      AlarmDescription: { 'Fn::Sub': `${says}: the message names the alarm. \${RunbookUrl}#${severity}` },
      AlarmRule: rule,
      AlarmActions: [action],
      OKActions: [action],
    },
  }
}

/** Alarms as resources of the template; infra/aws/alarms.yml has the topics that they tell. */
export const alarmResources = (config: Config, stage: string, subjects: AlarmSubjects): Resources => {
  const alarms = alarmsOf(config, subjects)
  return {
    ...Object.fromEntries(alarms.map((alarm) => [logicalId(alarm), metricAlarm(alarm, stage)])),
    AlarmPage: compositeAlarm(alarms, 'page', stage),
    AlarmTicket: compositeAlarm(alarms, 'ticket', stage),
  }
}
