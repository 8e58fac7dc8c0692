import { DeleteItemCommand, type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { setTimeout as sleep } from 'node:timers/promises'
import { InvalidInputError } from '../../shared/errors.ts'
import { parseItem } from '../../shared/features/attribute-json.ts'
import { itemKeyOf, type KeyNames } from '../../shared/features/change.ts'
import { equalItems, type Item } from '../../shared/features/item.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'

/** Writes items as applications do: one at a time, many at once, those of one key in their order. */

/** `where` names in an error what the change came from. */
export type RowChange = ({ put: Item } | { delete: Item }) & { where?: string }

/** `items` were put, `changes` of them and of the deletes changed something, `present` are there unless they expired. */
export type Written = { items: number; changes: number; present: number }

const inFlightMax = 16

const send = async (dynamodb: DynamoDBClient, table: string, change: RowChange): Promise<Item | undefined> => {
  const input = { TableName: table, ReturnValues: 'ALL_OLD' } as const
  try {
    const { Attributes } =
      'put' in change
        ? await dynamodb.send(new PutItemCommand({ ...input, Item: change.put }))
        : await dynamodb.send(new DeleteItemCommand({ ...input, Key: change.delete }))
    return Attributes && parseItem(Attributes)
  } catch (error) {
    if (change.where === undefined || !(error instanceof Error) || error.name !== 'ValidationException') throw error
    throw new InvalidInputError(`${change.where}: DynamoDB refuses the item: ${error.message}`, { cause: error })
  }
}

/** A write that changes nothing makes no record in the stream. */
const count = (written: Written, change: RowChange, before: Item | undefined): void => {
  if ('put' in change) {
    written.items += 1
    if (!before) written.present += 1
    if (!before || !equalItems(before, change.put)) written.changes += 1
  } else if (before) {
    written.present -= 1
    written.changes += 1
  }
}

type Options = { table: string; names: KeyNames; perSecond: number; signal: AbortSignal; written: Written }

/** Writes until the changes end or the signal comes, counting in `written`. Throws the first failure once nothing is under way. */
export const writeRows = async (
  dynamodb: DynamoDBClient,
  changes: Iterable<RowChange> | AsyncIterable<RowChange>,
  { table, names, perSecond, signal, written }: Options,
): Promise<void> => {
  const inFlight = new Map<string, Promise<void>>()
  const failures: unknown[] = []
  const startedAt = performance.now()
  let begun = 0
  const write = async (id: string, change: RowChange): Promise<void> => {
    try {
      count(written, change, await send(dynamodb, table, change))
    } catch (error) {
      failures.push(error)
    } finally {
      inFlight.delete(id)
    }
  }
  try {
    for await (const change of changes) {
      const id = encodeRowKey(itemKeyOf('put' in change ? change.put : change.delete, names)).toString('latin1')
      await inFlight.get(id)
      if (inFlight.size >= inFlightMax) await Promise.race(inFlight.values())
      if (signal.aborted || failures.length > 0) break
      const waitMs = startedAt + (1000 * begun) / perSecond - performance.now()
      if (waitMs > 1) await sleep(waitMs)
      begun += 1
      inFlight.set(id, write(id, change))
    }
  } finally {
    await Promise.all(inFlight.values())
  }
  if (failures.length > 0) throw failures[0]
}
