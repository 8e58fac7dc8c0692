import type { Config } from '../config.ts'

/** What of the source a function reads, whatever it is encrypted with. */
export type Read = 'objects' | 'items'

/** `queues`, `streamOf` (a table of the stage) and `rules` go by their names without `lifeboat-STAGE-`. */
type Deployed = {
  name: string
  reads?: readonly Read[]
  queues?: readonly string[]
  streamOf?: string
  /** ARNs of the current streams of the source's tables. */
  streams?: readonly string[]
  /** EventBridge rules that call it, or that fill its queue. */
  rules?: readonly string[]
}

type Table = Config['tables'][number]

/** The stream of the highest epoch, from which changes come: those before it end with their stream. */
export const currentStream = ({ streams }: Table): Table['streams'][number] =>
  streams.reduce((a, b) => (b.epoch > a.epoch ? b : a), streams[0] ?? { arn: '', epoch: 0 })

const rowFunctions = ({ tables }: Config): Deployed[] => [
  { name: 'applyChanges', reads: ['items'], streams: tables.map((table) => currentStream(table).arn) },
  { name: 'redrive', reads: ['items'] },
  { name: 'compareRows', reads: ['items'], rules: ['compareRows'] },
]

/** The functions of serverless.yml and its parts, as far as the configuration has work for them. */
export const functionsOf = (config: Config): Deployed[] => {
  const hasRows = config.tables.length > 0
  return [
    { name: 'planObject', reads: ['objects'], queues: ['objects'], rules: ['objects'] },
    { name: 'copySegment', reads: ['objects'], queues: ['segments', 'backfill-segments'] },
    { name: 'commitObject', streamOf: 'ledger', rules: ['sweep'] },
    { name: 'validate', rules: ['validate', 'scrub'] },
    { name: 'reconcile', rules: ['reconcile'] },
    { name: 'measureLag', rules: ['measure-lag'] },
    { name: 'backfill', reads: hasRows ? ['objects', 'items'] : ['objects'], queues: ['backfill'] },
    ...(hasRows ? rowFunctions(config) : []),
  ]
}

/** What `name` is called in a stage: a function, a queue, a rule or a table. */
export const inStage = (stage: string, name: string): string => `lifeboat-${stage}-${name}`

export const functionNames = (config: Config, stage: string): string[] =>
  functionsOf(config).map(({ name }) => inStage(stage, name))
