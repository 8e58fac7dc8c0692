import type { Config } from '../config.ts'
import { type Check, finding, ok, unknown, type Verdict } from './check.ts'
import { deployStage } from './fixes.ts'
import { functionNames, functionsOf, inStage } from './functions.ts'
import type { EventSource, SourceFacts } from './ports.ts'

export type SourceDeps = { facts: SourceFacts; config: Config; stage: string }

const deployedChecks = ({ facts, config, stage }: SourceDeps): Check[] =>
  functionNames(config, stage).map((name) => ({
    id: 'function',
    side: 'source',
    subject: name,
    title: 'the function is deployed',
    run: async () => ((await facts.deployed(name)) ? ok('it is') : finding('it is not', deployStage(stage))),
  }))

/** A deployment makes what is new in the template, and not again what somebody deleted by hand. */
const missingFix = (stage: string): string =>
  `${deployStage(stage)}; where the stack believes that it is there (somebody deleted it), deploy once without it in the template, then with it`

type Wanted = { what: string; isIt: (arn: string) => boolean }

const wantedSources = (config: Config, stage: string): { name: string; wanted: Wanted[] }[] =>
  functionsOf(config).map(({ name, queues = [], streamOf, streams = [] }) => ({
    name: inStage(stage, name),
    wanted: [
      ...queues.map((queue) => ({
        what: `the queue ${inStage(stage, queue)}`,
        isIt: (arn: string) => arn.endsWith(`:${inStage(stage, queue)}`),
      })),
      ...(streamOf === undefined
        ? []
        : [
            {
              what: `the stream of ${inStage(stage, streamOf)}`,
              isIt: (arn: string) => arn.includes(`:table/${inStage(stage, streamOf)}/stream/`),
            },
          ]),
      ...streams.map((stream) => ({ what: stream, isIt: (arn: string) => arn === stream })),
    ],
  }))

const sourceVerdict = (wanted: readonly Wanted[], found: readonly EventSource[], stage: string): Verdict => {
  const looked = wanted.map(({ what, isIt }) => ({
    what,
    source: found.find(({ arn, state }) => isIt(arn) && state !== 'Deleting'),
  }))
  const missing = looked.filter(({ source }) => source === undefined)
  const disabled = looked.filter(({ source }) => source?.state === 'Disabled' || source?.state === 'Disabling')
  const fixes = [
    ...disabled.map(({ source }) => `aws lambda update-event-source-mapping --uuid ${source?.id ?? ''} --enabled`),
    ...(missing.length > 0 ? [missingFix(stage)] : []),
  ]
  const wrong = [
    ...disabled.map(({ what }) => `${what} is disabled`),
    ...missing.map(({ what }) => `${what} is not connected`),
  ]
  if (wrong.length > 0) return finding(`nothing comes from it: ${wrong.join('; ')}`, fixes.join('; '))
  const unsure = looked.filter(({ source }) => source?.state !== 'Enabled')
  if (unsure.length > 0)
    return unknown(unsure.map(({ what, source }) => `${what} is ${source?.state ?? ''}: ask again`).join('; '))
  return ok(`${looked.length} enabled`)
}

const eventSourceChecks = ({ facts, config, stage }: SourceDeps): Check[] =>
  wantedSources(config, stage)
    .filter(({ wanted }) => wanted.length > 0)
    .map(({ name, wanted }) => ({
      id: 'event-source',
      side: 'source',
      subject: name,
      title: 'queues and streams call the function',
      run: async () => {
        const found = await facts.deployed(name)
        return found ? sourceVerdict(wanted, found.eventSources, stage) : unknown('it is not deployed')
      },
    }))

const ruleChecks = ({ facts, config, stage }: SourceDeps): Check[] =>
  functionsOf(config)
    .flatMap(({ rules = [] }) => rules.map((rule) => inStage(stage, rule)))
    .map((name) => ({
      id: 'event-rule',
      side: 'source',
      subject: name,
      title: 'the rule of EventBridge is enabled',
      run: async () => {
        const state = await facts.rule(name)
        if (state === undefined) return finding('there is no such rule', missingFix(stage))
        // As CloudTrail's events are taken in, which none of ours is: enabled, either way.
        if (state.startsWith('ENABLED')) return ok('it is')
        return finding(`it is ${state}`, `aws events enable-rule --name ${name}`)
      },
    }))

/** Alone, the others need about one each. */
const spare = 10

/** What AWS gives by default: a quota below it is not to be asked for. */
const concurrencyDefault = 1000

const concurrencyCheck = ({ facts, config, stage }: SourceDeps): Check => ({
  id: 'lambda-concurrency',
  side: 'source',
  subject: '',
  title: 'the account has concurrency for all functions',
  run: async () => {
    const names = functionNames(config, stage)
    const [{ limit, unreserved }, deployed] = await Promise.all([
      facts.concurrency(),
      Promise.all(names.map((name) => facts.deployed(name))),
    ])
    const found = deployed.filter((one) => one !== undefined)
    if (found.length === 0) return unknown('no function is deployed')
    const needed = found.reduce((sum, { concurrencyMax = 1 }) => sum + concurrencyMax, spare)
    const text = `up to ${needed} at once, of ${unreserved} that nobody reserved (limit ${limit})`
    if (unreserved >= needed) return ok(text)
    const desired = Math.max(concurrencyDefault, limit + needed)
    return finding(
      text,
      `aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 --desired-value ${desired}`,
    )
  },
})

/** What is deployed, what calls it, and whether there is room for it. */
export const functionChecks = (deps: SourceDeps): Check[] => [
  ...deployedChecks(deps),
  ...eventSourceChecks(deps),
  ...ruleChecks(deps),
  concurrencyCheck(deps),
]
