/** What may go wrong in a history, each counted where it happens. */
export const hazards = [
  'a backfill',
  'a batch cut in two',
  'a batch handed over again',
  'a batch handed over twice',
  'a call that goes on after its time',
  'a change between a scan and its write',
  'a clock that is off',
  'a reply that was lost',
  'a row read again without need',
  'a step that failed',
  'a stream that was off and on again',
  'a time that steps back',
  'a write sent twice',
  'an image that nobody can read',
  'an item deleted and made again',
  'an item that Bigtable refuses',
  'an item that expired',
  'an older change that lands after a newer one',
  'changes of a stream that is not configured',
  'changes of an item in one second',
  'changes while no stream was on',
  'redriven with its payload',
  'redriven without payload',
  'sequence numbers of more digits',
  'two that read a row again at once',
] as const
export type Hazard = (typeof hazards)[number]

/** What each history of a run must have been through at least, as a part of all. */
export const leastPart = 0.01

/** The hazards that fewer histories than that had. */
export const seldom = (counts: ReadonlyMap<Hazard, number>, histories: number): Hazard[] =>
  hazards.filter((hazard) => (counts.get(hazard) ?? 0) < histories * leastPart)
