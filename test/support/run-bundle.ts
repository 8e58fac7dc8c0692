import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

// The import also builds the clients. CPU time, since the tests of this folder share their processors.
const program = `
const cpuMs = () => process.cpuUsage().user / 1000
const before = cpuMs()
const { handler } = await import('./functions/apply-changes.mjs')
const importMs = cpuMs() - before
const answer = await handler(JSON.parse(process.env.EVENT), { getRemainingTimeInMillis: () => 60000 })
console.log(JSON.stringify({ importMs, batchMs: cpuMs() - before - importMs, answer }))
process.exit()
`

/** Runs a program on the bundle of a function in an empty folder, and answers what it printed. */
export const runBundle = async (
  buildDir: string,
  env: Record<string, string>,
  run: { bundle: string; program: string } = { bundle: 'apply-changes', program },
): Promise<string> => {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-bundle-'))
  try {
    cpSync(join(buildDir, run.bundle), folder, { recursive: true })
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', run.program], {
      cwd: folder,
      env: {
        STAGE: 'local',
        LAMBDA_TASK_ROOT: folder,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: 'local',
        AWS_SECRET_ACCESS_KEY: 'local',
        GCP_SERVICE_ACCOUNT: 'lifeboat-rows@lifeboat-local.iam.gserviceaccount.com',
        METADATA_SERVER_DETECTION: 'none',
        QUARANTINE_BUCKET: 'quarantine',
        EVENT: '{"Records":[]}',
        ...env,
      },
    })
    return stdout
  } finally {
    rmSync(folder, { recursive: true })
  }
}
