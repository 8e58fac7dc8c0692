import type { ProofMetric } from '../shared/proof/metrics.ts'
import type { Config } from '../shared/config.ts'
import type { Threshold } from './alarm-thresholds.ts'

type Reference = { Ref: string } | { 'Fn::GetAtt': [string, string] }
type Metric =
  | { namespace: 'Lifeboat'; name: ProofMetric }
  | { namespace: 'AWS/Lambda' | 'AWS/SQS'; name: string; dimensions: Record<string, string | Reference> }

/** One metric alarm. `section` is its anchor in docs/runbook.md; alarms of one kind share it. */
export type Alarm = {
  name: string
  section: string
  /** `page` wakes someone, `ticket` waits for the morning. */
  severity: 'page' | 'ticket'
  /** One sentence for whoever was just woken. */
  means: string
  metric: Metric
  statistic: 'Maximum' | 'Minimum' | 'Sum'
  breach: 'above' | 'below'
  threshold: number | Threshold
  periodSeconds: number
  /** `datapoints` of the last `of` must breach. */
  datapoints: number
  of: number
  /**
   * What a period without data says. A state that is measured every minute breaches: unknown is not fine. Events (an
   * error, a difference that a check found) are fine when there are none; that the check goes on is another alarm's.
   */
  missing: 'breaching' | 'notBreaching'
}

/** What the stack has, by logical id of a queue or mapping and by the service's name of a function. */
export type AlarmSubjects = {
  functions: readonly string[]
  streamMappings: readonly string[]
  deadQueues: readonly string[]
}

const minute = 60
const hour = 3600
const day = 86_400

const own = (name: ProofMetric): Metric => ({ namespace: 'Lifeboat', name })
/** A state that measure-lag emits every minute: three minutes in a row, so that one late datapoint wakes no one. */
const everyMinute = {
  statistic: 'Maximum',
  breach: 'above',
  periodSeconds: minute,
  datapoints: 3,
  of: 3,
  missing: 'breaching',
} as const
/** A state that a check emits at least every hour. */
const everyHour = { ...everyMinute, periodSeconds: hour } as const
const anyEvent = {
  statistic: 'Sum',
  breach: 'above',
  threshold: 0,
  datapoints: 1,
  of: 1,
  missing: 'notBreaching',
} as const

const named = <T extends Omit<Alarm, 'name' | 'section'>>(
  name: string,
  alarm: T,
): T & { name: string; section: string } => ({
  name,
  section: name,
  ...alarm,
})

const objectAlarms = (config: Config): Alarm[] => [
  named('objects-lag', {
    ...everyMinute,
    severity: 'page',
    means: 'An object in S3 has waited for longer than the RPO to be in the replica, or nobody can tell.',
    metric: own('OldestPendingSeconds'),
    threshold: 'ObjectsLagSeconds',
  }),
  named('heartbeat-silent', {
    ...everyMinute,
    statistic: 'Sum',
    breach: 'below',
    datapoints: 5,
    of: 5,
    severity: 'page',
    means: 'Nothing has written to the replica how far it is behind for five minutes: every lag is unknown.',
    metric: own('Heartbeats'),
    threshold: 1,
  }),
  ...(config.buckets.some(({ canary }) => canary !== undefined)
    ? [
        named('objects-canary-silent', {
          ...everyMinute,
          severity: 'page',
          means: 'The object that Lifeboat itself writes to S3 no longer arrives in the replica: events may be lost.',
          metric: own('ObjectCanaryAgeSeconds'),
          threshold: 'ObjectsCanarySeconds',
        } as const),
      ]
    : []),
  named('dead-letters', {
    ...everyMinute,
    severity: 'ticket',
    means: 'Work on an object failed five times and was put aside: the object is not in the replica.',
    metric: own('DeadLetters'),
    threshold: 0,
  }),
  ...(['ObjectsRefused', 'ObjectsQuarantined'] as const).map((metric) => ({
    ...anyEvent,
    name: `objects-set-aside-${metric === 'ObjectsRefused' ? 'refused' : 'quarantined'}`,
    section: 'objects-set-aside',
    severity: 'ticket' as const,
    means:
      'An event could not be read, or an object cannot be copied as it is: it is not in the replica, and is not tried again.',
    metric: own(metric),
    periodSeconds: 300,
  })),
  named('bytes-sent', {
    ...anyEvent,
    severity: 'ticket',
    means: 'More bytes than expected were sent to the replica in a day: traffic out of AWS is paid by the byte.',
    metric: own('BytesSent'),
    threshold: 'BytesSentPerDay',
    periodSeconds: day,
  }),
]

const rowAlarms = (config: Config): Alarm[] => {
  if (config.tables.length === 0) return []
  const canaries = config.tables.some(({ canary }) => canary)
  return [
    named('rows-lag', {
      ...everyMinute,
      severity: 'page',
      means: 'A change of a row in DynamoDB has waited for longer than the RPO to be in Bigtable, or nobody can tell.',
      metric: own('FeatureLagSeconds'),
      threshold: 'RowsLagSeconds',
    }),
    ...(canaries
      ? [
          named('rows-canary-silent', {
            ...everyMinute,
            severity: 'page',
            means: 'The rows that Lifeboat itself writes to DynamoDB no longer arrive in Bigtable.',
            metric: own('RowCanaryAgeSeconds'),
            threshold: 'RowsCanarySeconds',
          } as const),
        ]
      : []),
    named('quarantine', {
      ...everyMinute,
      severity: 'ticket',
      means: 'A change of a row cannot be applied and waits in quarantine: that row is old in Bigtable.',
      metric: own('QuarantinedChanges'),
      threshold: 0,
    }),
    named('rows-differ', {
      ...anyEvent,
      severity: 'page',
      means: 'Rows in Bigtable are not what DynamoDB has, and stayed so: the copy is wrong, not late.',
      metric: own('RowsDifferent'),
      periodSeconds: hour,
    }),
    named('rows-comparison-overdue', {
      ...everyHour,
      severity: 'ticket',
      means: 'The rows of a table were not all compared for more than a day: nobody knows whether the copy is right.',
      metric: own('RowsComparedAgeSeconds'),
      threshold: 'RowsComparedAgeSeconds',
    }),
  ]
}

const proofAlarms: Alarm[] = [
  named('validation-failed', {
    ...anyEvent,
    severity: 'page',
    means: 'A check found something in the replica that is missing or wrong: a restore of it would fail.',
    metric: own('ValidationFailures'),
    periodSeconds: hour,
  }),
  named('validation-overdue', {
    ...everyHour,
    severity: 'ticket',
    means: 'No check of all manifests has passed for more than a day: the replica is unproven.',
    metric: own('ValidationAgeSeconds'),
    threshold: 'ValidationAgeSeconds',
  }),
  named('reconcile-overdue', {
    ...everyHour,
    severity: 'ticket',
    means: 'The source was not listed whole for more than a day: what no event announced is not found.',
    metric: own('ReconcileAgeSeconds'),
    threshold: 'ReconcileAgeSeconds',
  }),
  named('objects-unannounced', {
    ...anyEvent,
    severity: 'ticket',
    means: 'Objects were found that no event announced: they were sent late, and events are being lost.',
    metric: own('ObjectsFoundByReconcile'),
    periodSeconds: hour,
  }),
  named('scrub-coverage', {
    ...everyHour,
    severity: 'ticket',
    means: 'At its present pace the scrub needs more than its days to read everything back: rot is found late.',
    metric: own('ScrubCoverageDays'),
    threshold: 'ScrubCoverageDays',
  }),
]

/** Called every 15 minutes or more seldom: they cannot fail in three minutes of five. */
const seldomCalled: readonly string[] = ['backfill', 'compareRows', 'reconcile', 'validate']

const functionAlarms = (name: string): Alarm[] => {
  const of = (metric: string): Metric => ({
    namespace: 'AWS/Lambda',
    name: metric,
    dimensions: { FunctionName: { Ref: `${name.charAt(0).toUpperCase()}${name.slice(1)}LambdaFunction` } },
  })
  // One failure is retried and says nothing: three minutes of the last five, or three times in the last hour.
  const often = { periodSeconds: minute, datapoints: 3, of: 5 } as const
  const seldom = { periodSeconds: 5 * minute, datapoints: 3, of: 12 } as const
  const repeated = { ...anyEvent, severity: 'ticket', ...(seldomCalled.includes(name) ? seldom : often) } as const
  return [
    {
      ...repeated,
      name: `function-errors-${name}`,
      section: 'function-errors',
      means: `The function ${name} keeps failing: what it works on is tried again and again.`,
      metric: of('Errors'),
    },
    {
      ...repeated,
      name: `function-throttles-${name}`,
      section: 'function-throttles',
      means: `Lambda keeps refusing to run ${name}: the account's concurrency is used up.`,
      metric: of('Throttles'),
    },
  ]
}

const iteratorAlarm = (name: string, threshold: Threshold): Alarm => ({
  name: `iterator-age-${name}`,
  section: 'iterator-age',
  severity: 'ticket',
  means: `The function ${name} reads its stream late: something in a shard holds up what comes after it.`,
  metric: {
    namespace: 'AWS/Lambda',
    name: 'IteratorAge',
    dimensions: { FunctionName: { Ref: `${name.charAt(0).toUpperCase()}${name.slice(1)}LambdaFunction` } },
  },
  statistic: 'Maximum',
  breach: 'above',
  threshold,
  periodSeconds: minute,
  datapoints: 5,
  of: 5,
  missing: 'notBreaching',
})

/** Of Lambda's own count of a stream's events (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html). */
const mappingAlarms = (mapping: string): Alarm[] => {
  const of = (metric: string): Metric => ({
    namespace: 'AWS/Lambda',
    name: metric,
    dimensions: { EventSourceMappingUUID: { Ref: mapping } },
  })
  const any = { ...anyEvent, severity: 'page', periodSeconds: 300 } as const
  return [
    {
      ...any,
      name: `events-given-up-${mapping}`,
      section: 'events-given-up',
      means:
        'Records of a stream failed for 23 hours and were put into the bucket of failed batches: nothing retries them by itself.',
      metric: of('OnFailureDestinationDeliveredEventCount'),
    },
    {
      ...any,
      name: `events-dropped-${mapping}`,
      section: 'events-dropped',
      means: 'Records of a stream were given up and are kept nowhere: only the source itself still has what they said.',
      metric: of('DroppedEventCount'),
    },
  ]
}

const deadQueueAlarm = (queue: string): Alarm => ({
  ...anyEvent,
  name: `dead-letters-${queue}`,
  section: 'dead-letters',
  severity: 'ticket',
  means: 'Work on an object failed five times and was put aside: the object is not in the replica.',
  metric: {
    namespace: 'AWS/SQS',
    name: 'ApproximateNumberOfMessagesVisible',
    dimensions: { QueueName: { 'Fn::GetAtt': [queue, 'QueueName'] } },
  },
  // SQS says it every minute, of a queue that was used in the last hours.
  statistic: 'Maximum',
  periodSeconds: 300,
})

/** Every metric alarm of a stack. */
export const alarmsOf = (config: Config, subjects: AlarmSubjects): Alarm[] => [
  ...objectAlarms(config),
  ...rowAlarms(config),
  ...proofAlarms,
  ...subjects.functions.flatMap(functionAlarms),
  iteratorAlarm('commitObject', 'CommitIteratorAgeMs'),
  ...(config.tables.length > 0 ? [iteratorAlarm('applyChanges', 'RowsIteratorAgeMs')] : []),
  ...subjects.streamMappings.flatMap(mappingAlarms),
  ...subjects.deadQueues.map(deadQueueAlarm),
]
