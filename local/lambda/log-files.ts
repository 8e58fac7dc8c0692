import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

/** Appends every line to `dir`/logs/NAME.jsonl before anyone else sees it. */
export const openLogs = (
  dir: string,
  onLog: ((functionName: string, line: string) => void) | undefined,
): ((functionName: string, line: string) => void) => {
  const folder = join(dir, 'logs')
  mkdirSync(folder, { recursive: true })
  return (functionName, line) => {
    appendFileSync(join(folder, `${functionName}.jsonl`), `${line}\n`)
    onLog?.(functionName, line)
  }
}
