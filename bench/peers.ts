import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import { promisify } from 'node:util'
import { median } from './report.ts'

/** Programs that do a part of the same work on the same file. `command` is shown, without the file. */
export type Peer = { command: string; args: (file: string, out: string) => string[] }

export const peers = {
  zstd3: { command: 'zstd -3', args: (file, out) => ['-3', '--single-thread', '-q', '-f', '-o', out, file] },
  zstd3Parallel: { command: 'zstd -3 -T2', args: (file, out) => ['-3', '-T2', '-q', '-f', '-o', out, file] },
  unzstd: { command: 'zstd -d', args: (file, out) => ['-d', '-q', '-f', '-o', out, file] },
  sha256: { command: 'sha256sum', args: (file) => [file] },
} satisfies Record<string, Peer>

/** The file of a program that is on the PATH, or named by its absolute path. */
export const findProgram = (name: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => resolve(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

const programOf = (peer: Peer): string => peer.command.split(' ')[0] ?? ''

/** Of a machine where it is not on the PATH; undefined where all are. */
export const absentNote = (wanted: readonly Peer[]): string | undefined => {
  const absent = [...new Set(wanted.map(programOf).filter((name) => !findProgram(name)))]
  return absent.length === 0 ? undefined : `${absent.join(' and ')} not on the PATH: no comparison with it.`
}

/** Seconds of one run, output to `out`; undefined where the program is not there. */
export const timePeer = async (peer: Peer, file: string, out: string): Promise<number | undefined> => {
  const program = findProgram(programOf(peer))
  if (program === undefined) return undefined
  const startedAt = performance.now()
  await promisify(execFile)(program, peer.args(file, out))
  return (performance.now() - startedAt) / 1000
}

const rounds = 3

/** The median of three runs. */
export const timeMedian = async (peer: Peer, file: string, out: string): Promise<number | undefined> => {
  const times: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const time = await timePeer(peer, file, out)
    if (time === undefined) return undefined
    times.push(time)
  }
  return median(times)
}
