import { describe, expect, it } from 'vitest'
import type { EventSource } from '../../shared/doctor/ports.ts'
import { DeniedError } from '../../shared/errors.ts'
import { goodSource, look, type Plants, stream, wrong } from '../support/doctor-world.ts'

const withSources = (of: string, change: (sources: EventSource[]) => EventSource[]): Plants => ({
  source: {
    deployed: async (name) => {
      const good = await goodSource.deployed(name)
      if (!good || !name.endsWith(of)) return good
      return { ...good, eventSources: change([...good.eventSources]) }
    },
  },
})
const inState = (of: string, state: string): Plants =>
  withSources(of, (sources) => sources.map((one, at) => (at === 0 ? { ...one, state } : one)))

describe('what calls the functions', () => {
  it.each(['Disabled', 'Disabling'])('a queue that is %s', async (state) => {
    expect(wrong(await look(inState('copySegment', state)))).toMatchObject([
      {
        id: 'event-source',
        subject: 'lifeboat-prod-copySegment',
        outcome: 'finding',
        detail: 'nothing comes from it: the queue lifeboat-prod-segments is disabled',
        fix: 'aws lambda update-event-source-mapping --uuid copySegment-0 --enabled',
      },
    ])
  })

  it.each<[string, string]>([
    ['planObject', 'the queue lifeboat-prod-objects'],
    ['copySegment', 'the queue lifeboat-prod-backfill-segments'],
    ['commitObject', 'the stream of lifeboat-prod-ledger'],
    ['backfill', 'the queue lifeboat-prod-backfill'],
    ['applyChanges', stream],
  ])('%s without %s', async (name, what) => {
    const finding = {
      id: 'event-source',
      subject: `lifeboat-prod-${name}`,
      outcome: 'finding',
      detail: `nothing comes from it: ${what} is not connected`,
      fix: expect.stringMatching(/^npx serverless deploy --stage prod; where the stack believes/),
    }
    expect(wrong(await look(withSources(name, (sources) => sources.slice(0, -1))))).toMatchObject([finding])
    const deleting = withSources(name, (sources) => [
      ...sources.slice(0, -1),
      { ...sources.at(-1)!, state: 'Deleting' },
    ])
    expect(wrong(await look(deleting))).toMatchObject([finding])
  })

  it.each(['Creating', 'Enabling', 'Updating', 'unknown'])(
    'a stream that is %s is not known to come',
    async (state) => {
      expect(wrong(await look(inState('applyChanges', state)))).toMatchObject([
        { id: 'event-source', outcome: 'unknown', detail: `${stream} is ${state}: ask again` },
      ])
    },
  )

  it.each<[string, string | undefined, string, RegExp]>([
    ['disabled', 'DISABLED', 'it is DISABLED', /^aws events enable-rule --name lifeboat-prod-sweep$/],
    ['not there', undefined, 'there is no such rule', /^npx serverless deploy --stage prod; /],
  ])('a rule that is %s', async (_title, state, detail, fix) => {
    const rule = async (name: string) => (name === 'lifeboat-prod-sweep' ? state : 'ENABLED')
    expect(wrong(await look({ source: { rule } }))).toMatchObject([
      {
        id: 'event-rule',
        subject: 'lifeboat-prod-sweep',
        outcome: 'finding',
        detail,
        fix: expect.stringMatching(fix),
      },
    ])
  })

  it('rules that may not be looked at are unknown', async () => {
    const found = wrong(await look({ source: { rule: () => Promise.reject(new DeniedError('denied')) } }))
    expect(new Set(found.map(({ id, outcome }) => `${id} ${outcome}`))).toEqual(new Set(['event-rule unknown']))
  })
})

it('a function that is not deployed', async () => {
  const found = wrong(
    await look({
      source: { deployed: async (name) => (name.endsWith('validate') ? undefined : goodSource.deployed(name)) },
    }),
  )
  expect(found).toMatchObject([
    {
      id: 'function',
      subject: 'lifeboat-prod-validate',
      outcome: 'finding',
      fix: 'npx serverless deploy --stage prod',
    },
    { id: 'login', subject: 'lifeboat-prod-validate', outcome: 'unknown' },
  ])
})
