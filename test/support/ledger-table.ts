import { readFileSync } from 'node:fs'
import {
  CreateTableCommand,
  type CreateTableCommandInput,
  DescribeTableCommand,
  DynamoDBClient,
} from '@aws-sdk/client-dynamodb'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseDocument } from 'yaml'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { awsOptions, inFolder } from './contract-target.ts'

type Template = { Resources: { LedgerTable: { Properties: CreateTableCommandInput } } }

const template = (): CreateTableCommandInput => {
  const file = new URL('../../infra/aws/ledger.yml', import.meta.url)
  // CloudFormation's own tags, such as !Ref, are of no interest here.
  const document = parseDocument(readFileSync(file, 'utf8'), { logLevel: 'silent' })
  return (document.toJS() as Template).Resources.LedgerTable.Properties
}

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
  const { AttributeDefinitions, KeySchema, GlobalSecondaryIndexes, BillingMode, StreamSpecification } = template()
  let tables = 0
  return {
    client,
    create: async () => {
      tables += 1
      const TableName = `ledger-${tables}`
      const shape = { AttributeDefinitions, KeySchema, GlobalSecondaryIndexes, BillingMode, StreamSpecification }
      await client.send(new CreateTableCommand({ TableName, ...shape }))
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
