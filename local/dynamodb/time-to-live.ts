/** UpdateTimeToLive, DescribeTimeToLive and the sweep that deletes what has expired, as the service itself. */
import { act, storeKey, tableOf, validate } from './dynalite.ts'
import type { Engine } from './engine.ts'
import { evaluate } from './overlay.ts'
import { invalid, type Item, ServiceError } from './wire.ts'

const fiveYearsSeconds = 5 * 365 * 24 * 3600
const userIdentity = { Type: 'Service', PrincipalId: 'dynamodb.amazonaws.com' } as const

type UpdateInput = { TableName: string; TimeToLiveSpecification?: { Enabled: boolean; AttributeName: string } }

/** AWS leaves alone what is no number and what expired more than five years ago. */
const isExpired = (item: Item, attribute: string, nowSeconds: number): boolean => {
  const number = item[attribute]?.N
  if (number === undefined) return false
  const expiry = Number(number)
  return expiry < nowSeconds && expiry > nowSeconds - fiveYearsSeconds
}

const deleteExpired = async (engine: Engine, name: string, attribute: string, item: Item): Promise<boolean> => {
  const table = await tableOf(engine.store, name)
  const key = Object.fromEntries(table.KeySchema.map(({ AttributeName: member }) => [member, item[member] ?? {}]))
  return engine.locks.hold([`item/${name}/${storeKey(table, { key })}`], async () => {
    const data = validate(engine.store, 'DeleteItem', { TableName: name, Key: key })
    const evaluated = await evaluate(engine.store, 'DeleteItem', data)
    if (evaluated.error) throw evaluated.error
    if (!evaluated.found || !isExpired(evaluated.found, attribute, engine.now() / 1000)) return false
    await engine.commits.submit({ ...evaluated, userIdentity })
    return true
  })
}

const sweepTable = async (engine: Engine, name: string, attribute: string): Promise<number> => {
  let deleted = 0
  let start: Item | undefined
  do {
    const data = validate(engine.store, 'Scan', { TableName: name, ...(start && { ExclusiveStartKey: start }) })
    const page = await act<{ Items: Item[]; LastEvaluatedKey?: Item }>(engine.store, 'Scan', data)
    for (const item of page.Items)
      if (isExpired(item, attribute, engine.now() / 1000) && (await deleteExpired(engine, name, attribute, item)))
        deleted += 1
    start = page.LastEvaluatedKey
  } while (start)
  return deleted
}

/** Deletes every expired item of every table with TTL; resolves to how many. */
export const sweepExpired = async (engine: Engine): Promise<number> => {
  let deleted = 0
  for (const [name, { timeToLive }] of engine.settings.all()) {
    if (timeToLive === undefined) continue
    try {
      deleted += await sweepTable(engine, name, timeToLive)
    } catch (error) {
      // The table went away during the sweep.
      if (!(error instanceof ServiceError) || error.code !== 'ResourceNotFoundException') throw error
    }
  }
  return deleted
}

export const createTimeToLive = (engine: Engine) => ({
  UpdateTimeToLive: async (input: UpdateInput): Promise<unknown> => {
    await tableOf(engine.store, input.TableName, false)
    const wanted = input.TimeToLiveSpecification
    if (!wanted?.AttributeName) throw invalid("Value null at 'timeToLiveSpecification' failed to satisfy constraint")
    const { timeToLive: current, ...settings } = engine.settings.get(input.TableName)
    if (wanted.Enabled && current !== undefined) throw invalid('TimeToLive is already enabled')
    if (!wanted.Enabled && current === undefined) throw invalid('TimeToLive is already disabled')
    if (!wanted.Enabled && current !== wanted.AttributeName)
      throw invalid(`TimeToLive is active on a different AttributeName: current AttributeName is ${current}`)
    engine.settings.set(input.TableName, { ...settings, ...(wanted.Enabled && { timeToLive: wanted.AttributeName }) })
    return { TimeToLiveSpecification: wanted }
  },
  DescribeTimeToLive: async (input: { TableName: string }): Promise<unknown> => {
    await tableOf(engine.store, input.TableName, false)
    const { timeToLive } = engine.settings.get(input.TableName)
    return {
      TimeToLiveDescription:
        timeToLive === undefined
          ? { TimeToLiveStatus: 'DISABLED' }
          : { TimeToLiveStatus: 'ENABLED', AttributeName: timeToLive },
    }
  },
})
