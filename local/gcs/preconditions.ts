import { ApiError, invalid } from './api-error.ts'
import type { ObjectMeta } from './metadata-store.ts'

type Versioned = Pick<ObjectMeta, 'metageneration'> & { generation?: string }

const failed = (status: number): ApiError =>
  new ApiError(status, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.')

const value = (query: URLSearchParams, name: string): string | undefined => {
  const text = query.get(name)
  if (text === null) return undefined
  if (!/^\d+$/.test(text)) throw invalid(`Invalid value for ${name}: ${text}`)
  return text
}

/**
 * The four conditions on `current` (undefined: no live object). A failed Match is 412; a failed NotMatch is 304 on a
 * read. `prefix` is `ifSource` for the source of a copy.
 */
export const checkPreconditions = (
  query: URLSearchParams,
  current: Versioned | undefined,
  options: { read?: boolean; prefix?: 'if' | 'ifSource' } = {},
): void => {
  const prefix = options.prefix ?? 'if'
  const generation = current?.generation ?? '0'
  const unequalStatus = options.read && current ? 304 : 412
  const wanted = value(query, `${prefix}GenerationMatch`)
  if (wanted !== undefined && wanted !== generation) throw failed(412)
  const unwanted = value(query, `${prefix}GenerationNotMatch`)
  if (unwanted !== undefined && unwanted === generation) throw failed(unequalStatus)
  const metageneration = value(query, `${prefix}MetagenerationMatch`)
  if (metageneration !== undefined && metageneration !== current?.metageneration) throw failed(412)
  const unequal = value(query, `${prefix}MetagenerationNotMatch`)
  if (unequal !== undefined && (!current || unequal === current.metageneration)) throw failed(unequalStatus)
}
