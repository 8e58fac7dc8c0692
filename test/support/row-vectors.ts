import { readFileSync } from 'node:fs'
import type vectorsJson from '../vectors/rows.json'

/** What test/vectors/make_rows.py made. Parsed here: a bundled JSON import loses a member named `__proto__`. */
export const rowVectors = JSON.parse(
  readFileSync(new URL('../vectors/rows.json', import.meta.url), 'utf8'),
) as typeof vectorsJson
