import type { ProofMetric } from '../shared/proof/metrics.ts'
import type { Config } from '../shared/config.ts'
import { type AlarmSubjects, alarmsOf } from './alarm-list.ts'

type Line = { metric: ProofMetric; label: string; statistic: string; right?: boolean }
type Chart = {
  title: string
  lines?: Line[]
  functions?: readonly string[]
  of?: { name: string; statistic: string }
  limit?: { label: string; value: number }
}
type Place = { x: number; y: number; width: number; height: number }

const columns = 24
const chartHeight = 6
const perRow = 3
/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html */
const alarmsShownMax = 100

const line = (metric: ProofMetric, label: string, statistic = 'Maximum', right = false): Line => ({
  metric,
  label,
  statistic,
  right,
})

const objectCharts = ({ rpo }: Config): Chart[] => [
  {
    title: 'Objects: lag in seconds',
    lines: [
      line('OldestPendingSeconds', 'oldest pending'),
      line('ReplicationLagSeconds', 'sealed, p50', 'p50'),
      line('ReplicationLagSeconds', 'sealed, p99', 'p99'),
    ],
    limit: { label: 'RPO', value: rpo.objectsMinutes * 60 },
  },
  {
    title: 'Objects: pending',
    lines: [
      line('PendingObjects', 'objects'),
      line('PendingBytes', 'bytes', 'Maximum', true),
      line('DeadLetters', 'dead letters'),
    ],
  },
  {
    title: 'Bytes read, sent and saved',
    lines: [line('BytesRead', 'read', 'Sum'), line('BytesSent', 'sent', 'Sum'), line('BytesSaved', 'saved', 'Sum')],
  },
]

const rowCharts = ({ rpo, tables }: Config): Chart[] =>
  tables.length === 0
    ? []
    : [
        {
          title: 'Rows: lag in seconds',
          lines: [line('FeatureLagSeconds', 'oldest pending'), line('RowLagSeconds', 'applied, p99', 'p99')],
          limit: { label: 'RPO', value: rpo.rowsSeconds },
        },
        {
          title: 'Rows: quarantine and differences',
          lines: [
            line('QuarantinedChanges', 'in quarantine'),
            line('ChangesQuarantined', 'new in quarantine', 'Sum'),
            line('RowsDifferent', 'rows that differ', 'Sum'),
            line('RowsCompared', 'rows compared', 'Sum', true),
          ],
        },
      ]

const proofCharts: Chart[] = [
  {
    title: 'Validation',
    lines: [
      line('ValidationFailures', 'findings', 'Sum'),
      line('ChunksValidated', 'chunks looked at', 'Sum', true),
      line('ObjectsFoundByReconcile', 'objects found by reconcile', 'Sum'),
    ],
  },
  {
    title: 'Daily checks: seconds since the last that passed',
    lines: [
      line('ValidationAgeSeconds', 'validation'),
      line('ReconcileAgeSeconds', 'reconcile'),
      line('RowsComparedAgeSeconds', 'comparison of rows'),
    ],
  },
  {
    title: 'Scrub coverage in days',
    lines: [line('ScrubCoverageDays', 'days for everything'), line('BytesScrubbed', 'bytes read back', 'Sum', true)],
  },
]

const canaryChart = ({ tables }: Config): Chart => ({
  title: 'Canaries and heartbeats',
  lines: [
    line('ObjectCanaryAgeSeconds', 'object canary, seconds'),
    ...(tables.length > 0 ? [line('RowCanaryAgeSeconds', 'row canaries, seconds')] : []),
    line('Heartbeats', 'heartbeats', 'Sum', true),
  ],
})

const functionCharts = (functions: readonly string[]): Chart[] => [
  { title: 'Functions: errors', functions, of: { name: 'Errors', statistic: 'Sum' } },
  { title: 'Functions: throttles', functions, of: { name: 'Throttles', statistic: 'Sum' } },
  { title: 'Functions: iterator age in milliseconds', functions, of: { name: 'IteratorAge', statistic: 'Maximum' } },
]

const metricsOf = ({ lines = [], functions = [], of }: Chart, stage: string): unknown[] => [
  ...lines.map(({ metric, label, statistic, right }) => [
    'Lifeboat',
    metric,
    'service',
    `lifeboat-${stage}`,
    { label, stat: statistic, ...(right && { yAxis: 'right' }) },
  ]),
  ...functions.map((name) => [
    'AWS/Lambda',
    of?.name,
    'FunctionName',
    `lifeboat-${stage}-${name}`,
    { label: name, stat: of?.statistic },
  ]),
]

const chartWidget = (chart: Chart, stage: string, place: Place) => ({
  type: 'metric',
  ...place,
  properties: {
    title: chart.title,
    region: '${AWS::Region}',
    view: 'timeSeries',
    period: 60,
    metrics: metricsOf(chart, stage),
    yAxis: { left: { min: 0 }, right: { min: 0 } },
    ...(chart.limit && { annotations: { horizontal: [chart.limit] } }),
  },
})

/** What on-call looks at first, as a resource of the template. */
export const dashboard = (config: Config, stage: string, subjects: AlarmSubjects): Record<string, object> => {
  const charts = [
    ...objectCharts(config),
    ...rowCharts(config),
    ...proofCharts,
    canaryChart(config),
    ...functionCharts(subjects.functions),
  ]
  const names = ['page', 'ticket', ...alarmsOf(config, subjects).map(({ name }) => name)].slice(0, alarmsShownMax)
  const alarms = {
    type: 'alarm',
    x: 0,
    y: 0,
    width: columns,
    height: 4,
    properties: {
      title: 'Alarms',
      alarms: names.map(
        (name) =>
          `arn:\${AWS::Partition}:cloudwatch:\${AWS::Region}:\${AWS::AccountId}:alarm:lifeboat-${stage}-${name}`,
      ),
    },
  }
  const width = columns / perRow
  const widgets = charts.map((chart, index) =>
    chartWidget(chart, stage, {
      x: (index % perRow) * width,
      y: alarms.height + Math.floor(index / perRow) * chartHeight,
      width,
      height: chartHeight,
    }),
  )
  return {
    Dashboard: {
      Type: 'AWS::CloudWatch::Dashboard',
      Properties: {
        // A dashboard is of the whole account.
        DashboardName: `lifeboat-${stage}-${config.source.region}`,
        DashboardBody: { 'Fn::Sub': JSON.stringify({ widgets: [alarms, ...widgets] }) },
      },
    },
  }
}
