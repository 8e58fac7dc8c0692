import {
  CreateTableCommand,
  DeleteTableCommand,
  DescribeContinuousBackupsCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  ExecuteStatementCommand,
  ListTagsOfResourceCommand,
  PutItemCommand,
  TransactWriteItemsCommand,
  UpdateContinuousBackupsCommand,
  UpdateTableCommand,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb'
import { describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { expectBugs, inFolder, motoTargets, type Target } from '../support/contract-target.ts'
import { createTable, key, useDynamoDb, withIndex } from '../support/dynamodb.ts'

const startEmbedded = () => inFolder((dir) => startDynamoDb({ dir }))
const embedded: Target = { name: 'embedded', start: startEmbedded }
const moto = motoTargets([
  // enables what is enabled
  'switches TTL',
])

for (const target of [embedded, ...moto]) {
  describe(`DynamoDB tables on ${target.name}`, () => {
    expectBugs(target)
    const db = useDynamoDb(() => target.start(), {
      ...withIndex,
      SSESpecification: { Enabled: true, SSEType: 'KMS' },
      Tags: [{ Key: 'team', Value: 'platform' }],
    })

    it('describes a table as it was created', async () => {
      const { Table: described } = await db.client.send(new DescribeTableCommand({ TableName: db.table }))
      expect(described).toMatchObject({
        TableName: db.table,
        BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
        GlobalSecondaryIndexes: [{ IndexName: 'by-color', IndexStatus: 'ACTIVE' }],
        SSEDescription: { Status: 'ENABLED' },
      })
      expect(described?.LatestStreamArn).toBeUndefined()
      const tags = await db.client.send(new ListTagsOfResourceCommand({ ResourceArn: described!.TableArn! }))
      expect(tags.Tags).toEqual([{ Key: 'team', Value: 'platform' }])
    })

    const updateTtl = (enabled: boolean) =>
      db.client.send(
        new UpdateTimeToLiveCommand({
          TableName: db.table,
          TimeToLiveSpecification: { Enabled: enabled, AttributeName: 'expires' },
        }),
      )
    const describeTtl = async () =>
      (await db.client.send(new DescribeTimeToLiveCommand({ TableName: db.table }))).TimeToLiveDescription

    it('switches TTL', async () => {
      await updateTtl(true)
      expect(await describeTtl()).toEqual({ TimeToLiveStatus: 'ENABLED', AttributeName: 'expires' })
      await expect(updateTtl(true)).rejects.toMatchObject({ name: 'ValidationException' })
      await updateTtl(false)
      expect((await describeTtl())?.TimeToLiveStatus).toBe('DISABLED')
    })

    it('switches point-in-time recovery', async () => {
      await db.client.send(
        new UpdateContinuousBackupsCommand({
          TableName: db.table,
          PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
        }),
      )
      const { ContinuousBackupsDescription: backups } = await db.client.send(
        new DescribeContinuousBackupsCommand({ TableName: db.table }),
      )
      expect(backups?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus).toBe('ENABLED')
    })

    it('protects a table from deletion and deletes it', async () => {
      const name = await createTable(db.client)
      await db.client.send(new UpdateTableCommand({ TableName: name, DeletionProtectionEnabled: true }))
      const remove = () => db.client.send(new DeleteTableCommand({ TableName: name }))
      await expect(remove()).rejects.toMatchObject({ name: 'ValidationException' })
      await db.client.send(new UpdateTableCommand({ TableName: name, DeletionProtectionEnabled: false }))
      await remove()
      await expect
        .poll(() => db.client.send(new DescribeTableCommand({ TableName: name })).catch((error: Error) => error.name))
        .toBe('ResourceNotFoundException')
    })

    it('refuses a table that exists and one that does not', async () => {
      const attributes = [{ AttributeName: 'pk', AttributeType: 'S' as const }]
      const schema = [{ AttributeName: 'pk', KeyType: 'HASH' as const }]
      const again = new CreateTableCommand({
        TableName: db.table,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: attributes,
        KeySchema: schema,
      })
      await expect(db.client.send(again)).rejects.toMatchObject({ name: 'ResourceInUseException' })
      const nowhere = { TableName: 'nowhere', Item: key('x') }
      await expect(db.client.send(new PutItemCommand(nowhere))).rejects.toMatchObject({
        name: 'ResourceNotFoundException',
      })
      await expect(
        db.client.send(new TransactWriteItemsCommand({ TransactItems: [{ Put: nowhere }] })),
      ).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
    })
  })
}

describe('DynamoDB tables on the embedded one alone', () => {
  const db = useDynamoDb(startEmbedded, {
    ...withIndex,
    SSESpecification: { Enabled: true, SSEType: 'KMS' },
    Tags: [{ Key: 'team', Value: 'platform' }],
  })

  it('answers 501 to what it does not have', async () => {
    const statement = db.client.send(new ExecuteStatementCommand({ Statement: 'SELECT 1' }))
    await expect(statement).rejects.toMatchObject({ name: 'NotImplemented', $metadata: { httpStatusCode: 501 } })
    const index = new UpdateTableCommand({
      TableName: db.table,
      GlobalSecondaryIndexUpdates: [{ Delete: { IndexName: 'by-color' } }],
    })
    await expect(db.client.send(index)).rejects.toMatchObject({ $metadata: { httpStatusCode: 501 } })
  })
})
