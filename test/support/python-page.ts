import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withFolder } from './fixtures.ts'
import { findTool } from './tools.ts'

/** The restorer in Python, as a program of its own. */

const found = findTool('python3')
/** Itself and no shim that needs a shell on the PATH. */
const python = found && execFileSync(found, ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim()
export const hasTools = python !== undefined && findTool('zstd') !== undefined
const page = fileURLToPath(new URL('../../docs/restore.py', import.meta.url))

export type Ran = { code: number; stdout: string; stderr: string }

/** Runs docs/restore.py. */
export const runPage = (args: string[], env: Record<string, string> = {}): Promise<Ran> =>
  new Promise((resolve) => {
    const settings = { env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...env }, maxBuffer: 2 ** 24 }
    execFile(python ?? '', [page, ...args], settings, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    )
  })

/** A folder for a copy of a replica, and one to restore into. */
export const inFolders = async (work: (replica: string, to: string) => Promise<void>): Promise<void> =>
  withFolder((folder) => work(join(folder, 'replica'), join(folder, 'to')))
