import { z } from 'zod'
import type { Alarm, Alarms } from './alarms.ts'
import type { ScaledClock } from './clock.ts'
import { isStatistic, type MetricStore } from './store.ts'

/** The operations of CloudWatch that SDK clients get, in JSON 1.0 as they speak it; times are epoch seconds there. */

export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

type State = { store: MetricStore; alarms: Alarms; clock: ScaledClock }

const metricDataSchema = z.object({
  StartTime: z.number(),
  EndTime: z.number(),
  ScanBy: z.enum(['TimestampDescending', 'TimestampAscending']).default('TimestampDescending'),
  MetricDataQueries: z
    .array(
      z.object({
        Id: z.string().regex(/^[a-z][a-zA-Z0-9_]{0,254}$/),
        Label: z.string().optional(),
        ReturnData: z.boolean().default(true),
        Expression: z.undefined({ error: 'expressions do not run here' }).optional(),
        MetricStat: z.object({
          Metric: z.object({
            Namespace: z.string(),
            MetricName: z.string(),
            Dimensions: z.array(z.object({ Name: z.string(), Value: z.string() })).default([]),
          }),
          Period: z.int().positive().multipleOf(60),
          Stat: z.string().refine(isStatistic, { error: 'a statistic that is not there' }),
        }),
      }),
    )
    .min(1)
    .max(500),
})
type Query = z.output<typeof metricDataSchema>['MetricDataQueries'][number]

const pointsMax = 100_800

const readQuery = ({ store, clock }: State, query: Query, startMs: number, endMs: number) => {
  const { Namespace, MetricName, Dimensions } = query.MetricStat.Metric
  const id = {
    namespace: Namespace,
    name: MetricName,
    dimensions: Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value])),
  }
  const periodMs = query.MetricStat.Period * 1000
  const found: { atMs: number; value: number }[] = []
  const first = Math.floor(clock.toScaled(startMs) / periodMs) * periodMs
  const end = clock.toScaled(endMs)
  if ((end - first) / periodMs > pointsMax)
    throw new ApiError(400, 'InvalidParameterValueException', `more than ${pointsMax} datapoints were asked for`)
  for (let at = first; at < end; at += periodMs) {
    const value = store.read(id, query.MetricStat.Stat, at, at + periodMs)
    if (value !== undefined) found.push({ atMs: clock.toReal(at), value })
  }
  return { label: query.Label ?? MetricName, found }
}

const getMetricData = (state: State, input: z.output<typeof metricDataSchema>): object => ({
  Messages: [],
  MetricDataResults: input.MetricDataQueries.filter(({ ReturnData }) => ReturnData).map((query) => {
    const { label, found } = readQuery(state, query, input.StartTime * 1000, input.EndTime * 1000)
    if (input.ScanBy === 'TimestampDescending') found.reverse()
    return {
      Id: query.Id,
      Label: label,
      StatusCode: 'Complete',
      Timestamps: found.map(({ atMs }) => atMs / 1000),
      Values: found.map(({ value }) => value),
    }
  }),
})

const alarmsSchema = z.strictObject({
  AlarmNames: z.array(z.string()).optional(),
  AlarmNamePrefix: z.string().optional(),
  StateValue: z.enum(['OK', 'ALARM', 'INSUFFICIENT_DATA']).optional(),
  AlarmTypes: z.array(z.string()).optional(),
  MaxRecords: z.int().min(1).max(100).default(50),
  NextToken: z.string().optional(),
})

const described = (alarm: Alarm, clock: ScaledClock): object => ({
  AlarmName: alarm.name,
  AlarmArn: `arn:aws:cloudwatch:::alarm:${alarm.name}`,
  AlarmDescription: alarm.description,
  StateValue: alarm.state,
  StateUpdatedTimestamp: clock.toReal(alarm.sinceMs) / 1000,
  Namespace: alarm.namespace,
  MetricName: alarm.metric,
  Dimensions: Object.entries(alarm.dimensions).map(([Name, Value]) => ({ Name, Value })),
  ...(alarm.statistic.startsWith('p') ? { ExtendedStatistic: alarm.statistic } : { Statistic: alarm.statistic }),
  Period: alarm.periodSeconds,
  EvaluationPeriods: alarm.evaluationPeriods,
  DatapointsToAlarm: alarm.datapointsToAlarm,
  Threshold: alarm.threshold,
  ComparisonOperator: alarm.comparison,
  TreatMissingData: alarm.missing,
})

const describeAlarms = ({ alarms, clock }: State, input: z.output<typeof alarmsSchema>): object => {
  const { AlarmNames, AlarmNamePrefix = '', StateValue, AlarmTypes, MaxRecords, NextToken } = input
  const wanted = alarms
    .list()
    .filter(({ name }) => name.startsWith(AlarmNamePrefix) && (AlarmNames?.includes(name) ?? true))
    .filter(({ state }) => StateValue === undefined || state === StateValue)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    // Without types, metric alarms alone are meant.
    .filter(() => AlarmTypes === undefined || AlarmTypes.includes('MetricAlarm'))
  const from = NextToken === undefined ? 0 : Number(NextToken)
  const page = wanted.slice(from, from + MaxRecords)
  return {
    MetricAlarms: page.map((alarm) => described(alarm, clock)),
    CompositeAlarms: [],
    ...(from + MaxRecords < wanted.length && { NextToken: String(from + MaxRecords) }),
  }
}

const parsed = <T>(schema: z.ZodType<T>, input: unknown): T => {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  throw new ApiError(400, 'InvalidParameterValueException', z.prettifyError(result.error))
}

/** Answers one call; throws ApiError, with 501 for an operation that is not there. */
export const answer = (state: State, operation: string, input: unknown): object => {
  if (operation === 'GetMetricData') return getMetricData(state, parsed(metricDataSchema, input))
  if (operation === 'DescribeAlarms') return describeAlarms(state, parsed(alarmsSchema, input))
  throw new ApiError(501, 'NotImplemented', `not implemented: ${operation}`)
}
