/** The steps of the commit model under one set of rules: what copiers, commit runs, collectors and time can do. */

import {
  none,
  current,
  outdated,
  plan,
  copy,
  record,
  commit,
  sealed,
  lost,
  cancelled,
  idle,
  firstListing,
  decide,
  removePending,
  deleteLate,
  freshPlan,
  idleCollector,
  touch,
  createChunk,
  deleteChunk,
  type Collector,
  type State,
} from './commit-state.ts'

/** The rules that the design fixes. Every variant breaks one of them. */
export type CommitRules = {
  /** What the collector reads between condemning and deleting, in this order. */
  listing: readonly ('pending' | 'ledger' | 'sealed')[]
  condemn: 'before listing' | 'after listing'
  deleteOn: 'generation and metageneration' | 'generation'
  /** Whether the record at the seal's name is create-only for the one who seals and for the one who cancels. */
  sealOverwrites: boolean
  cancelOverwrites: boolean
  lastLook: boolean
  /** What the pending manifest is written before. */
  pendingBefore: 'copy' | 'look' | 'seal'
}

export const designRules: CommitRules = {
  listing: ['pending', 'ledger', 'sealed'],
  condemn: 'before listing',
  deleteOn: 'generation and metageneration',
  sealOverwrites: false,
  cancelOverwrites: false,
  lastLook: true,
  pendingBefore: 'copy',
}

/** Each of these loses data. */
export const losingRules: Record<string, CommitRules> = {
  'listing sealed before pending': { ...designRules, listing: ['sealed', 'pending', 'ledger'] },
  'listing sealed before the parts of the ledger': { ...designRules, listing: ['pending', 'sealed', 'ledger'] },
  'listing before condemning': { ...designRules, condemn: 'after listing' },
  'deleting without metageneration': { ...designRules, deleteOn: 'generation' },
  'a seal that can overwrite a cancel': { ...designRules, sealOverwrites: true },
  'a cancel that can overwrite a seal': { ...designRules, cancelOverwrites: true },
  'a seal without the last look': { ...designRules, lastLook: false },
  'pending written after the last look': { ...designRules, pendingBefore: 'seal' },
}

/** One request by someone; answers false where it cannot happen in this state. */
export type Action = (s: State) => boolean

const copyActions = (i: 0 | 1, rules: CommitRules): Action[] => [
  function beginPlan(s) {
    const p = s.plans[i]
    if (p.step !== plan) return false
    p.pending = rules.pendingBefore === 'copy' ? 1 : 0
    p.step = copy
    return true
  },
  function upload(s) {
    const p = s.plans[i]
    if (p.step !== copy) return false
    if (!s.present) createChunk(s)
    p.hand = current
    p.step = record
    return true
  },
  function reuseByIndex(s) {
    const p = s.plans[i]
    if (p.step !== copy || s.index === none) return false
    p.hand = s.index
    p.step = record
    return true
  },
  function crashBeforeRecord(s) {
    const p = s.plans[i]
    if (p.step !== record) return false
    p.hand = none
    p.step = copy
    return true
  },
  function recordSegment(s) {
    const p = s.plans[i]
    if (p.step !== record) return false
    p.part = p.hand
    s.index = p.hand
    p.hand = none
    p.step = commit
    return true
  },
  function duplicateMessage(s) {
    // The ledger refuses the second record, but a chunk that was gone is there again, as another generation.
    if (s.plans[i].step !== commit || s.present) return false
    createChunk(s)
    return true
  },
]

const commitActions = (i: 0 | 1, run: 0 | 1, rules: CommitRules): Action[] => [
  function look(s) {
    const p = s.plans[i]
    if (p.step !== commit || p.looked[run] !== none || p.part === none) return false
    if (rules.pendingBefore === 'look' && !p.pending && p.verdict === none) return false
    if (rules.lastLook && p.part === outdated) {
      p.part = none
      if (s.index === outdated) s.index = none
      p.step = copy
      return true
    }
    if (rules.lastLook && (s.condemned || !s.retained)) {
      s.condemned = 0
      s.retained = 1
      touch(s)
    }
    p.looked[run] = p.part
    return true
  },
  function seal(s) {
    const p = s.plans[i]
    if (p.looked[run] === none) return false
    if (rules.pendingBefore === 'seal' && !p.pending && p.verdict === none) return false
    if (p.verdict === none || (rules.sealOverwrites && p.verdict === cancelled))
      p.verdict = p.looked[run] === current ? sealed : lost
    p.looked[run] = none
    return true
  },
  function crashBeforeSeal(s) {
    const p = s.plans[i]
    if (p.looked[run] === none) return false
    p.looked[run] = none
    return true
  },
]

const lifeActions = (i: 0 | 1, rules: CommitRules): Action[] => [
  function writePendingLate(s) {
    const p = s.plans[i]
    if (rules.pendingBefore === 'copy' || p.step !== commit || p.pending || p.verdict !== none) return false
    if (rules.pendingBefore === 'seal' && p.looked[0] === none && p.looked[1] === none) return false
    p.pending = 1
    return true
  },
  function dropLedgerRows(s) {
    const p = s.plans[i]
    if (p.verdict !== sealed || p.part === none) return false
    p.part = none
    return true
  },
  function nextPlan(s) {
    // A cancelled plan is made anew under another planId; a sealed object expires and its successor is published.
    if (s.plans[i].verdict === none) return false
    s.plans[i] = freshPlan()
    s.collectors.forEach((collector, j) => {
      collector.pendingSeen &= ~(1 << i)
      if (collector.step === removePending + i) s.collectors[j] = idleCollector()
    })
    return true
  },
]

/** One page of a listing, or one read of the ledger for a plan whose pending manifest the listing had. */
const readListing = (s: State, collector: Collector, what: CommitRules['listing'][number], i: 0 | 1): void => {
  const p = s.plans[i]
  if (what === 'pending') collector.pendingSeen |= p.pending << i
  else if (what === 'sealed') collector.referenced |= p.verdict === sealed ? 1 : 0
  else if (collector.pendingSeen & (1 << i)) collector.referenced |= p.part === current ? 1 : 0
}

const condemnChunk = (s: State, collector: Collector): void => {
  if (!s.condemned) {
    s.condemned = 1
    touch(s)
  }
  collector.holdsGeneration = 1
  collector.holdsMetageneration = 1
}

const collectActions = (j: 0 | 1, rules: CommitRules): Action[] => [
  function condemn(s) {
    const collector = s.collectors[j]
    if (collector.step !== idle || !s.present) return false
    if (rules.condemn === 'before listing') condemnChunk(s, collector)
    collector.step = firstListing
    return true
  },
  function list(s) {
    const collector = s.collectors[j]
    if (collector.step < firstListing || collector.step >= decide) return false
    const position = collector.step - firstListing
    readListing(s, collector, rules.listing[position >> 1] ?? 'pending', (position & 1) as 0 | 1)
    collector.step += 1
    return true
  },
  function finish(s) {
    const collector = s.collectors[j]
    if (collector.step !== decide) return false
    if (rules.condemn === 'after listing') {
      if (collector.referenced || !s.present) s.collectors[j] = idleCollector()
      else {
        condemnChunk(s, collector)
        collector.step = deleteLate
      }
      return true
    }
    if (!collector.referenced) {
      if (collector.holdsMetageneration || (rules.deleteOn === 'generation' && collector.holdsGeneration))
        deleteChunk(s)
    } else if (collector.holdsMetageneration) {
      s.condemned = 0
      touch(s)
    }
    s.collectors[j] = idleCollector()
    return true
  },
  function finishLate(s) {
    const collector = s.collectors[j]
    if (collector.step !== deleteLate) return false
    if (collector.holdsMetageneration) deleteChunk(s)
    s.collectors[j] = idleCollector()
    return true
  },
  function crashCollector(s) {
    if (s.collectors[j].step === idle) return false
    s.collectors[j] = idleCollector()
    return true
  },
]

const cancelActions = (j: 0 | 1, i: 0 | 1, rules: CommitRules): Action[] => [
  function cancelStale(s) {
    const p = s.plans[i]
    if (s.collectors[j].step !== idle || !p.pending) return false
    if (p.verdict === none) p.verdict = cancelled
    else if (rules.cancelOverwrites && p.verdict === sealed) p.verdict = lost
    s.collectors[j].step = removePending + i
    return true
  },
  function removeStale(s) {
    if (s.collectors[j].step !== removePending + i) return false
    s.plans[i].pending = 0
    s.collectors[j] = idleCollector()
    return true
  },
]

const retentionEnds: Action = (s) => {
  if (!s.retained) return false
  s.retained = 0
  return true
}

const both = [0, 1] as const
/** Everything that may happen next. */
export const actionsOf = (rules: CommitRules): Action[] => [
  retentionEnds,
  ...both.flatMap((i) => [
    ...copyActions(i, rules),
    ...both.flatMap((run) => commitActions(i, run, rules)),
    ...lifeActions(i, rules),
    ...collectActions(i, rules),
    ...both.flatMap((j) => cancelActions(j, i, rules)),
  ]),
]
