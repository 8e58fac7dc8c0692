import type { Config } from '../shared/config.ts'

/** Thresholds of alarms are parameters of the template, so that they can be raised in the middle of a night. */
export type Threshold =
  | 'ObjectsLagSeconds'
  | 'ObjectsCanarySeconds'
  | 'CommitIteratorAgeMs'
  | 'ValidationAgeSeconds'
  | 'ReconcileAgeSeconds'
  | 'RowsComparedAgeSeconds'
  | 'ScrubCoverageDays'
  | 'BytesSentPerDay'
  | 'RowsLagSeconds'
  | 'RowsCanarySeconds'
  | 'RowsIteratorAgeMs'

const gib = 2 ** 30
/** Once a day, and two hours for it. */
const dailyCheckSeconds = 93_600
/** Where lifeboat.yml has no budget: about $450 a day of traffic out of AWS. */
const sentGiBPerDayDefault = 5120
/** A canary that was written just before the last look is as old as the time between two of them. */
const canaryGraceSeconds = 600

type Parameter = { default: number; description: string }

const rowsThresholds = ({ tables, rpo }: Config): Partial<Record<Threshold, Parameter>> => {
  if (tables.length === 0) return {}
  return {
    RowsLagSeconds: {
      default: rpo.rowsSeconds,
      description: 'Age of the oldest change of a row that is not in Bigtable',
    },
    RowsComparedAgeSeconds: {
      default: dailyCheckSeconds,
      description: 'Time since all rows of a table were last compared',
    },
    RowsIteratorAgeMs: { default: rpo.rowsSeconds * 1000, description: 'Age of the records that applyChanges reads' },
    ...(tables.some(({ canary }) => canary) && {
      RowsCanarySeconds: {
        default: rpo.rowsSeconds + canaryGraceSeconds,
        description: 'Age of the last canary row that is in Bigtable',
      },
    }),
  }
}

/** Every threshold that an alarm of this configuration uses. */
export const thresholds = (config: Config): Partial<Record<Threshold, Parameter>> => {
  const { buckets, rpo, budget } = config
  return {
    ObjectsLagSeconds: {
      default: rpo.objectsMinutes * 60,
      description: 'Age of the oldest object version that is not in the replica',
    },
    CommitIteratorAgeMs: {
      default: rpo.objectsMinutes * 30_000,
      description: 'Age of the ledger records that commitObject reads',
    },
    ValidationAgeSeconds: {
      default: dailyCheckSeconds,
      description: 'Time since the last check of all manifests that passed',
    },
    ReconcileAgeSeconds: {
      default: dailyCheckSeconds,
      description: 'Time since all of the source was last reconciled',
    },
    ScrubCoverageDays: { default: 30, description: 'In how many days everything in the replica is read back' },
    BytesSentPerDay: {
      default: Math.round((budget?.sentGiBPerDay ?? sentGiBPerDayDefault) * gib),
      description: 'Bytes sent to the replica in a day',
    },
    ...(buckets.some(({ canary }) => canary !== undefined) && {
      ObjectsCanarySeconds: {
        default: rpo.objectsMinutes * 60 + canaryGraceSeconds,
        description: 'Age of the last canary object that is protected',
      },
    }),
    ...rowsThresholds(config),
  }
}

/** As CloudFormation takes them. `--param="objectsLagSeconds=1800"` at a deployment sets ObjectsLagSeconds. */
export const thresholdParameters = (config: Config): Record<string, object> =>
  Object.fromEntries(
    Object.entries(thresholds(config)).map(([name, { default: value, description }]) => [
      name,
      {
        Type: 'Number',
        Default: `\${param:${name.charAt(0).toLowerCase()}${name.slice(1)}, ${value}}`,
        Description: `${description}, above which an alarm is raised`,
      },
    ]),
  )
