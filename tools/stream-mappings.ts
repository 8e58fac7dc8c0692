import { hash } from 'node:crypto'
import type { Config } from '../shared/config.ts'

type Table = Config['tables'][number]

/** CloudFormation's names are of letters and digits only; two tables that differ in something else differ in their hash. */
const mappingName = ({ name }: Table, epoch: number): string =>
  `ApplyChanges${name.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 100)}${hash('sha256', name, 'hex').slice(0, 8)}Epoch${epoch}`

/** One event source for every stream of every table. Written here: the framework makes one name of two streams of a table. */
export const streamMappings = (config: Config): Record<string, object> =>
  Object.fromEntries(
    config.tables.flatMap((table) =>
      table.streams.map(({ arn, epoch }) => [
        mappingName(table, epoch),
        {
          Type: 'AWS::Lambda::EventSourceMapping',
          Properties: {
            EventSourceArn: arn,
            FunctionName: { 'Fn::GetAtt': ['ApplyChangesLambdaFunction', 'Arn'] },
            Enabled: true,
            BatchSize: 500,
            MaximumBatchingWindowInSeconds: 1,
            StartingPosition: 'TRIM_HORIZON',
            // A shard carries about 1,000 changes a second, and one function applies more.
            ParallelizationFactor: 1,
            BisectBatchOnFunctionError: true,
            MaximumRetryAttempts: -1,
            // As of commitObject: what Bigtable could not take for 23 hours is written to FailedBatchesBucket whole.
            MaximumRecordAgeInSeconds: 82_800,
            FunctionResponseTypes: ['ReportBatchItemFailures'],
            DestinationConfig: { OnFailure: { Destination: { 'Fn::GetAtt': ['FailedBatchesBucket', 'Arn'] } } },
            // What was given up is counted: an alarm looks at it.
            MetricsConfig: { Metrics: ['EventCount'] },
          },
        },
      ]),
    ),
  )
