import { z } from 'zod'
import type { AlarmSpec } from '../cloudwatch/alarms.ts'
import { isStatistic } from '../cloudwatch/store.ts'
import type { Resolver, Template } from './template.ts'

const dimensionSchema = z.object({ Name: z.string(), Value: z.string() })
const alarmSchema = z.object({
  AlarmName: z.string(),
  AlarmDescription: z.string().default(''),
  Namespace: z.string(),
  MetricName: z.string(),
  Dimensions: z.array(dimensionSchema).default([]),
  Statistic: z.string().optional(),
  ExtendedStatistic: z.string().optional(),
  Period: z.int().multipleOf(60),
  EvaluationPeriods: z.int().positive(),
  DatapointsToAlarm: z.int().positive().optional(),
  Threshold: z.coerce.number(),
  ComparisonOperator: z.enum([
    'GreaterThanThreshold',
    'GreaterThanOrEqualToThreshold',
    'LessThanThreshold',
    'LessThanOrEqualToThreshold',
  ]),
  TreatMissingData: z.enum(['breaching', 'notBreaching', 'ignore', 'missing']).default('missing'),
})

/** The metric alarms of a template; throws for one that does not run here, such as one on an expression. */
export const alarmSpecsOf = (template: Template, { resolve, condition }: Resolver): AlarmSpec[] =>
  Object.entries(template.Resources)
    .filter(([, { Type, Condition }]) => Type === 'AWS::CloudWatch::Alarm' && (!Condition || condition(Condition)))
    .map(([logicalId, { Properties }]) => {
      const parsed = alarmSchema.safeParse(resolve(Properties))
      if (!parsed.success) throw new Error(`${logicalId} does not run here: ${z.prettifyError(parsed.error)}`)
      const alarm = parsed.data
      const statistic = alarm.Statistic ?? alarm.ExtendedStatistic ?? ''
      if (!isStatistic(statistic)) throw new Error(`${logicalId}: the statistic ${statistic} does not run here`)
      return {
        name: alarm.AlarmName,
        description: alarm.AlarmDescription,
        namespace: alarm.Namespace,
        metric: alarm.MetricName,
        dimensions: Object.fromEntries(alarm.Dimensions.map(({ Name, Value }) => [Name, Value])),
        statistic,
        periodSeconds: alarm.Period,
        evaluationPeriods: alarm.EvaluationPeriods,
        datapointsToAlarm: alarm.DatapointsToAlarm ?? alarm.EvaluationPeriods,
        threshold: alarm.Threshold,
        comparison: alarm.ComparisonOperator,
        missing: alarm.TreatMissingData,
      }
    })
