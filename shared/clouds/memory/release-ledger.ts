import { copyOf } from './copy-of.ts'
import type { Chain, MemberRow, ReleaseLedger, ReleaseRow } from '../../weights/ledger.ts'

const place = (bucket: string, prefix: string): string => JSON.stringify([bucket, prefix])
const isSealed = ({ state }: MemberRow): boolean => state === 'protected' || state === 'sealed'

/** What is known of an object version is not lost to a late or stale word about it. */
const mayReplace = (there: MemberRow | undefined, next: MemberRow): boolean => {
  if (!there || isSealed(next)) return true
  if (isSealed(there)) return false
  return next.state !== 'copying' || there.state === 'copying' || there.planId !== next.planId
}

type Kept = ReleaseRow & { isOpen: boolean; since: number; cause?: string }

const rowOf = ({ isOpen: _isOpen, since: _since, cause: _cause, ...row }: Kept): ReleaseRow => copyOf(row)

/** Releases and their members in memory, with the conditions of those on DynamoDB. */
export const createMemoryReleaseLedger = (
  onRequest: (bucket: string, prefix: string) => void = () => undefined,
): ReleaseLedger => {
  const releases = new Map<string, Kept>()
  const members = new Map<string, Map<string, MemberRow>>()
  return {
    touch: async (member, release, now) => {
      const at = place(member.bucket, member.prefix)
      const known = members.get(at) ?? new Map<string, MemberRow>()
      members.set(at, known)
      if (mayReplace(known.get(member.traceId), member)) known.set(member.traceId, copyOf(member))
      const { bucket, prefix, lastModified } = member
      const before = releases.get(at) ?? { done: [] }
      const opened = { bucket, prefix, ...release, touchedAt: now, isOpen: true, since: lastModified }
      releases.set(at, { ...before, ...opened })
    },
    members: async (bucket, prefix) => copyOf([...(members.get(place(bucket, prefix))?.values() ?? [])]),
    get: async (bucket, prefix) => {
      const row = releases.get(place(bucket, prefix))
      return row && rowOf(row)
    },
    update: async (bucket, prefix, { done, waiting, closeIf, again }) => {
      const row = releases.get(place(bucket, prefix))
      if (!row) return
      const isSame = row.again === again
      if (done !== undefined && isSame) {
        row.done = [...new Set([...row.done, done])]
        delete row.waiting
      }
      if (waiting !== undefined) row.waiting = waiting
      if (closeIf === row.touchedAt && isSame) row.isOpen = false
    },
    reopen: async (bucket, prefix, cause, _now, wanting) => {
      const row = releases.get(place(bucket, prefix))
      if (!row || row.cause === cause) return
      Object.assign(row, { done: [], again: (row.again ?? 0) + 1, isOpen: true, cause })
      if (wanting !== undefined) row.wanting = [...new Set([...(row.wanting ?? []), wanting])]
    },
    request: async (bucket, prefix) => onRequest(bucket, prefix),
    open: async function* open() {
      const waiting = [...releases.values()].filter(({ isOpen }) => isOpen)
      for (const row of waiting.toSorted((a, b) => a.since - b.since)) yield rowOf(row)
    },
  }
}

type Link = { reserved: number; sequence: number; digest: string | null; info?: Record<string, string> }

/** Chains of manifests in memory. */
export const createMemoryChain = (): Chain => {
  const links = new Map<string, Link>()
  const linkOf = (chain: string): Link => {
    const link = links.get(chain) ?? { reserved: 0, sequence: 0, digest: null }
    links.set(chain, link)
    return link
  }
  return {
    next: async (chain) => {
      const link = linkOf(chain)
      link.reserved += 1
      return {
        sequence: link.reserved,
        previousDigest: link.digest,
        ...(link.info ? { previous: { ...link.info } } : {}),
      }
    },
    newest: async (chain) => {
      const { sequence, digest, info = {} } = linkOf(chain)
      return digest === null ? undefined : { sequence, digest, info: { ...info } }
    },
    advance: async (chain, sequence, digest, info = {}) => {
      const link = linkOf(chain)
      if (sequence <= link.sequence) return
      Object.assign(link, { sequence, digest, info: { ...info } })
    },
  }
}
