/** A state of the commit model and its code: one integer below 2^53. */

/** A generation of the chunk as someone noted it. */
export const none = 0
export const current = 1
export const outdated = 2

export const plan = 0
export const copy = 1
export const record = 2
export const commit = 3

/** `objects/<bucket>/<key>/<version>.<planId>.json`; `lost` was sealed and names a generation that is gone, or was overwritten. */
export const sealed = 1
export const lost = 2
export const cancelled = 3

export type Plan = {
  step: number
  /** The generation that the copier has in hand, and the one in its part once the ledger has it. */
  hand: number
  part: number
  /** `pending/<version>.<planId>.json` exists. */
  pending: number
  verdict: number
  /** What each of two commit runs (stream trigger, sweep) took from the ledger and found present, about to seal. */
  looked: [number, number]
}

export const idle = 0
export const firstListing = 1
export const decide = 7
export const removePending = 8
export const deleteLate = 10

export type Collector = {
  step: number
  holdsGeneration: number
  holdsMetageneration: number
  /** The plans whose pending manifest the listing had, as bits. */
  pendingSeen: number
  referenced: number
}

export type State = {
  /** `chunks/<hh>/<id>`: there, condemned by its metadata, under retention. */
  present: number
  condemned: number
  retained: number
  /** The ledger's chunk index, by which a plan reuses the chunk without asking the replica. */
  index: number
  plans: [Plan, Plan]
  collectors: [Collector, Collector]
}

const encodePlan = (p: Plan): number =>
  p.step |
  (p.hand << 2) |
  (p.part << 4) |
  (p.pending << 6) |
  (p.verdict << 7) |
  (p.looked[0] << 9) |
  (p.looked[1] << 11)

const decodePlan = (n: number): Plan => ({
  step: n & 3,
  hand: (n >> 2) & 3,
  part: (n >> 4) & 3,
  pending: (n >> 6) & 1,
  verdict: (n >> 7) & 3,
  looked: [(n >> 9) & 3, (n >> 11) & 3],
})

export const encodeCollector = (c: Collector): number =>
  c.step | (c.holdsGeneration << 4) | (c.holdsMetageneration << 5) | (c.pendingSeen << 6) | (c.referenced << 8)

const decodeCollector = (n: number): Collector => ({
  step: n & 15,
  holdsGeneration: (n >> 4) & 1,
  holdsMetageneration: (n >> 5) & 1,
  pendingSeen: (n >> 6) & 3,
  referenced: (n >> 8) & 1,
})

/** 26 bits of plans above 23 bits of the rest. */
export const encode = (s: State): number => {
  const plans = encodePlan(s.plans[0]) | (encodePlan(s.plans[1]) << 13)
  const chunk = s.present | (s.condemned << 1) | (s.retained << 2) | (s.index << 3)
  const rest = chunk | (encodeCollector(s.collectors[0]) << 5) | (encodeCollector(s.collectors[1]) << 14)
  return plans * 2 ** 23 + rest
}

export const decode = (code: number): State => {
  const plans = Math.floor(code / 2 ** 23)
  const rest = code % 2 ** 23
  return {
    present: rest & 1,
    condemned: (rest >> 1) & 1,
    retained: (rest >> 2) & 1,
    index: (rest >> 3) & 3,
    plans: [decodePlan(plans & 0x1fff), decodePlan(plans >> 13)],
    collectors: [decodeCollector((rest >> 5) & 0x1ff), decodeCollector((rest >> 14) & 0x1ff)],
  }
}

export const freshPlan = (): Plan => ({
  step: plan,
  hand: none,
  part: none,
  pending: 0,
  verdict: none,
  looked: [none, none],
})
export const idleCollector = (): Collector => ({
  step: idle,
  holdsGeneration: 0,
  holdsMetageneration: 0,
  pendingSeen: 0,
  referenced: 0,
})

/** A metadata update: every metageneration noted before it is outdated. */
export const touch = (s: State): void => {
  for (const collector of s.collectors) collector.holdsMetageneration = 0
}

export const createChunk = (s: State): void => {
  s.present = 1
  s.condemned = 0
  s.retained = 0
}

const age = (noted: number): number => (noted === current ? outdated : noted)

/** Refused with 403 under retention. */
export const deleteChunk = (s: State): void => {
  if (s.retained) return
  s.present = 0
  s.condemned = 0
  s.index = age(s.index)
  for (const p of s.plans) {
    p.hand = age(p.hand)
    p.part = age(p.part)
    p.looked = [age(p.looked[0]), age(p.looked[1])]
    if (p.verdict === sealed) p.verdict = lost
  }
  for (const collector of s.collectors) {
    collector.holdsGeneration = 0
    collector.holdsMetageneration = 0
  }
}
