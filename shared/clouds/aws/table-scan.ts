import { DescribeTableCommand, type DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb'
import { parseItem } from '../../features/attribute-json.ts'
import type { TableScan } from '../../backfill/deps.ts'
import { called, keepAnswer } from './item-source.ts'

/** A strongly consistent read unit is 4 KiB. */
const readUnitBytes = 4096

/** Tables of DynamoDB by parallel scan. Numbers stay text from the wire to the item. */
export const createTableScan = (client: DynamoDBClient): TableScan => ({
  about: async (table) => {
    const command = new DescribeTableCommand({ TableName: table })
    const { Table } = await called('describe table', table, () => client.send(command))
    const isEnabled = Table?.StreamSpecification?.StreamEnabled === true
    return {
      items: Table?.ItemCount ?? 0,
      bytes: Table?.TableSizeBytes ?? 0,
      ...(isEnabled && Table.LatestStreamArn !== undefined ? { streamArn: Table.LatestStreamArn } : {}),
    }
  },
  page: async (table, { segment, segments, from, itemsMax }) => {
    const command = new ScanCommand({
      TableName: table,
      ConsistentRead: true,
      Segment: segment,
      TotalSegments: segments,
      Limit: itemsMax,
      ReturnConsumedCapacity: 'TOTAL',
      ...(from === undefined ? {} : { ExclusiveStartKey: from }),
    })
    const answer = keepAnswer(command)
    const output = await called('scan', table, () => client.send(command))
    const { Items: items = [], LastEvaluatedKey: last } = answer()
    const bytes = Buffer.byteLength(JSON.stringify(items))
    return {
      items: items.map((item) => parseItem(item, `an item of ${table}`)),
      ...(last === undefined ? {} : { next: parseItem(last, `the last key of a page of ${table}`) }),
      readUnits: output.ConsumedCapacity?.CapacityUnits ?? Math.ceil(bytes / readUnitBytes),
      bytes,
    }
  },
})
