import { valueToJson } from '../../shared/features/attribute-json.ts'
import type { AttributeValue, Item } from '../../shared/features/attribute-value.ts'
import type { AsOf } from '../../shared/features/as-of.ts'
import type { StoredRow } from '../../shared/features/row-store.ts'
import type { ItemKey } from '../../shared/features/row-key.ts'
import { backfillVersion, parseVersion } from '../../shared/features/version.ts'
import { CorruptError } from '../../shared/errors.ts'
import { formatSecond } from '../arguments.ts'

/** How values, keys and answers are worded. */

export const typeOf = (value: AttributeValue): string => Object.keys(value)[0] ?? ''

/** A value without its type: texts and numbers as they are, binaries in base64, the rest as DynamoDB's JSON. */
export const bareText = (value: AttributeValue): string => {
  if ('NULL' in value) return 'null'
  const content = Object.values(valueToJson(value))[0]
  return typeof content === 'string' ? content : JSON.stringify(content)
}

/** `S:text`, `N:1`. */
export const valueText = (value: AttributeValue): string => `${typeOf(value)}:${bareText(value)}`

export const keyText = ({ partition, sort }: ItemKey): string =>
  sort ? `${valueText(partition)},${valueText(sort)}` : valueText(partition)

/** Every attribute on one line. */
export const itemText = (item: Item): string =>
  Object.entries(item)
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(' ')

const reasons = {
  'never seen': 'the replica has never seen it',
  'before first sight': 'the replica did not see its changes then',
  'before the history': 'the history does not go back so far',
  'not applied': 'a change that came before is not in the row yet: it is in quarantine, or on its way',
} as const

type Unknown = Extract<AsOf, { state: 'unknown' }>

export const unknownText = ({ reason, knownFrom }: Unknown): string =>
  `${reasons[reason]}${knownFrom === undefined ? '' : `; known from ${formatSecond(knownFrom)}`}`

export type LastChange = { at: string; version: string; text: string }

/** The change that a row is at. Throws CorruptError where the row does not say it as Lifeboat does. */
export const lastChange = ({ marker }: StoredRow): LastChange => {
  if (!marker || !Number.isSafeInteger(marker.time)) throw new CorruptError('a row without the time of its change')
  const { epoch, sequenceNumber } = parseVersion(marker.version)
  const at = formatSecond(marker.time)
  const isScanned = marker.version === backfillVersion
  const by = isScanned ? 'found by a scan' : `sequence number ${sequenceNumber}, epoch ${epoch}`
  return { at, version: marker.version, text: `${at} (${by})` }
}
