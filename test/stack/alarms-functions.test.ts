import { expect, it } from 'vitest'
import { parseConfig } from '../../shared/config.ts'
import { alarmsOf } from '../../tools/alarm-list.ts'

const config = parseConfig(
  JSON.stringify({
    formatVersion: 1,
    source: { account: '111122223333', region: 'us-east-1' },
    replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
    buckets: [{ name: 'models' }],
    tables: [],
  }),
  { stage: 'prod', file: 'lifeboat.yml' },
)

it('failures of what is called every 15 minutes are counted by the hour, of everything else by minutes', () => {
  const functions = ['reconcile', 'validate', 'compareRows', 'measureLag']
  const alarms = alarmsOf(config, { functions, streamMappings: [], deadQueues: [] })
  const counted = functions.map((name) => {
    const alarm = alarms.find((one) => one.name === `function-errors-${name}`)
    return [name, alarm?.periodSeconds, alarm?.datapoints, alarm?.of]
  })
  expect(counted).toEqual([
    ['reconcile', 300, 3, 12],
    ['validate', 300, 3, 12],
    ['compareRows', 300, 3, 12],
    ['measureLag', 60, 3, 5],
  ])
})
