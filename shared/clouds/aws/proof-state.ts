import { type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { ConflictError } from '../../errors.ts'
import type { ProofState } from '../../proof/proof-state.ts'
import { translated } from './errors.ts'
import { getItem, keyOf, N, numberOf, rowOf, S } from './ledger-table.ts'

/** Records of the ledger table: `proof#NAME` record. */
const keyFor = (name: string) => ({ pk: `proof#${name}`, sk: 'record' })

export const createProofState = (client: DynamoDBClient, table: string): ProofState => ({
  read: async (name) => {
    const item = await getItem(client, table, keyFor(name))
    return item && { value: rowOf<unknown>(item), version: numberOf(item, 'version') ?? 0 }
  },
  write: async (name, value, expected) => {
    const condition =
      expected === undefined
        ? { ConditionExpression: 'attribute_not_exists(pk)' }
        : { ConditionExpression: 'version = :expected', ExpressionAttributeValues: { ':expected': N(expected) } }
    const Item = { ...keyOf(keyFor(name)), v: N(1), version: N((expected ?? 0) + 1), row: S(JSON.stringify(value)) }
    try {
      await translated(`ledger put proof#${name}`, () =>
        client.send(new PutItemCommand({ TableName: table, Item, ...condition })),
      )
      return true
    } catch (error) {
      if (error instanceof ConflictError) return false
      throw error
    }
  },
})
