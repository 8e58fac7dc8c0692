import { cpus, release, totalmem, type } from 'node:os'
import { humanBytes } from '../cli/output.ts'

/** What a figure is worth nothing without: the machine, the versions and the day. */
export const describeMachine = (now: Date): string => {
  const processors = cpus()
  const model = processors[0]?.model.trim().replaceAll(/\s+/g, ' ') ?? 'unknown processor'
  return `${processors.length} x ${model}, ${humanBytes(totalmem())} of memory, ${type()} ${release()}, Node ${process.versions.node}, ${now.toISOString().slice(0, 10)}`
}
