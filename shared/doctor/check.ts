/** One thing that the doctor looks at. Nothing is changed by any of it. */

export type Side = 'source' | 'replica' | 'both'

/** `unknown` is what could not be looked at, and never counts as right. */
export type Verdict =
  | { outcome: 'ok'; detail: string }
  | { outcome: 'finding'; detail: string; fix: string }
  | { outcome: 'unknown'; detail: string }

export type Check = {
  /** Of the kind of check, the same in every version: for scripts. */
  id: string
  side: Side
  /** What it is of: a bucket, a table, a function; empty where there is only one. */
  subject: string
  title: string
  run(): Promise<Verdict>
}

export type Checked = Omit<Check, 'run'> & Verdict

export const ok = (detail: string): Verdict => ({ outcome: 'ok', detail })
export const finding = (detail: string, fix: string): Verdict => ({ outcome: 'finding', detail, fix })
export const unknown = (detail: string): Verdict => ({ outcome: 'unknown', detail })
