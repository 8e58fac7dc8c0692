import { type CloudWatchClient, GetMetricDataCommand, type MetricDataQuery } from '@aws-sdk/client-cloudwatch'
import type { Clock } from '../../ports.ts'
import type { Gauges } from '../../proof/lag-deps.ts'
import { translated } from './errors.ts'

/** CloudWatch has a value some minutes after it was measured. An older one says nothing of now. */
const windowMs = 300_000
const periodSeconds = 60

type Asked = { namespace: string; metric: string; dimension: string; value: string }

const queryOf = ({ namespace, metric, dimension, value }: Asked, index: number): MetricDataQuery => ({
  Id: `m${index}`,
  MetricStat: {
    Metric: { Namespace: namespace, MetricName: metric, Dimensions: [{ Name: dimension, Value: value }] },
    Period: periodSeconds,
    Stat: 'Maximum',
  },
})

/** What AWS itself measures of queues and of the function `applyChanges`. */
export const createGauges = (cloudwatch: CloudWatchClient, clock: Clock, applyChanges: string): Gauges => {
  /** The newest value of each, in the order asked for. */
  const newest = async (asked: readonly Asked[]): Promise<(number | undefined)[]> => {
    const now = clock.now()
    const { MetricDataResults = [] } = await translated('get metrics', () =>
      cloudwatch.send(
        new GetMetricDataCommand({
          StartTime: new Date(now - windowMs),
          EndTime: new Date(now),
          ScanBy: 'TimestampDescending',
          MetricDataQueries: asked.map(queryOf),
        }),
      ),
    )
    const byId = new Map(MetricDataResults.map(({ Id, Values }) => [Id, Values?.[0]]))
    return asked.map((_, index) => byId.get(`m${index}`))
  }
  return {
    queueAges: async (queues) => {
      const ages = await newest(
        queues.map((value) => ({
          namespace: 'AWS/SQS',
          metric: 'ApproximateAgeOfOldestMessage',
          dimension: 'QueueName',
          value,
        })),
      )
      return new Map(
        queues.flatMap((queue, index) => {
          const age = ages[index]
          return age === undefined ? [] : [[queue, age] as const]
        }),
      )
    },
    iteratorAge: async () => {
      const [ms] = await newest([
        { namespace: 'AWS/Lambda', metric: 'IteratorAge', dimension: 'FunctionName', value: applyChanges },
      ])
      return ms === undefined ? undefined : ms / 1000
    },
  }
}
