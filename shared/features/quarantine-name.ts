import { hash } from 'node:crypto'
import type { Quarantined } from './deps.ts'

const sequenceDigits = 40

/** The table that a stream's ARN names, whatever the configuration knows. */
export const tableOfStream = (arn: string): string | undefined => /:table\/([A-Za-z0-9_.-]+)\/stream\//.exec(arn)?.[1]

/** Where the changes of one table are kept; without a table, of all. */
export const quarantineFolder = (table?: string): string =>
  table === undefined ? 'quarantine/' : `quarantine/${table}/`

/**
 * The name of a quarantined change, the same whenever it is put: `quarantine/TABLE/STREAM/SEQUENCE.json`, the stream as the
 * first 16 hex digits of the SHA-256 of its ARN, the sequence number in 40 digits so that names order as changes do. A
 * record without a sequence number goes by its own SHA-256, and one of no known table below `unknown`.
 */
export const quarantineName = ({ table, streamArn, sequenceNumber, record }: Quarantined): string => {
  const folder = quarantineFolder(table || (tableOfStream(streamArn) ?? 'unknown'))
  const stream = hash('sha256', streamArn, 'hex').slice(0, 16)
  const isNumber = /^\d{1,40}$/.test(sequenceNumber)
  const name = isNumber
    ? sequenceNumber.padStart(sequenceDigits, '0')
    : `record-${hash('sha256', JSON.stringify(record) ?? '', 'hex')}`
  return `${folder}${stream}/${name}.json`
}

/** Where Lambda puts the batches that it gives up: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html */
export const givenUpFolder = 'aws/lambda/'

/** Where a change, or a batch, lies once it was redriven. */
export const redrivenName = (name: string): string => `redriven/${name.replace(/^quarantine\//, '')}`
