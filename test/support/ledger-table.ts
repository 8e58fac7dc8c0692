import { CreateTableCommand, DescribeTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { ledgerShape } from './ledger-shape.ts'
import { awsOptions, inFolder } from './contract-target.ts'

export type LedgerTables = {
  client: DynamoDBClient
  /** A table of its own, as infra/aws/ledger.yml defines it. */
  create(): Promise<string>
  close(): Promise<void>
}

/** The embedded DynamoDB with tables as the ledger's template makes them. */
export const startLedgerTables = async (): Promise<LedgerTables> => {
  const running = await inFolder((dir) => startDynamoDb({ dir, port: 0 }))
  const client = new DynamoDBClient(awsOptions(running.url))
  let tables = 0
  return {
    client,
    create: async () => {
      tables += 1
      const TableName = `ledger-${tables}`
      await client.send(new CreateTableCommand({ TableName, ...ledgerShape() }))
      for (;;) {
        const { Table } = await client.send(new DescribeTableCommand({ TableName }))
        if (Table?.TableStatus === 'ACTIVE') return TableName
        await sleep(5)
      }
    },
    close: async () => {
      client.destroy()
      await running.close()
    },
  }
}
