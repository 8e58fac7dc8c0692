import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { linkService } from '../../local/lambda/package.ts'
import type { Template } from '../../local/lambda/template.ts'

/** The framework as it is typed, in a folder of its own that is linked to the repository. */

const root = join(import.meta.dirname, '../..')
const timeoutMs = 240_000

export type Service = {
  run(words: readonly string[], env?: Record<string, string>): Promise<{ failed: boolean; said: string }>
  setConfig(text: string): void
  /** `text` is params.yml. */
  setParameters(text: string): void
  templateFile: string
  template(): Template
}

export const createService = (dir: string): Service => {
  const home = join(dir, 'service')
  const configFile = join(dir, 'lifeboat.yml')
  mkdirSync(home, { recursive: true })
  linkService(root, home)
  const templateFile = join(home, '.serverless/cloudformation-template-update-stack.json')
  return {
    run: async (words, extra = {}) => {
      const { PATH, HOME, TMPDIR } = process.env
      const env = { PATH, HOME, TMPDIR, LIFEBOAT_CONFIG: configFile, LIFEBOAT_BUILD_DIR: join(dir, 'build'), ...extra }
      const command = [join(root, 'node_modules/serverless/bin/serverless.js'), ...words]
      const options = { cwd: home, env, timeout: timeoutMs }
      try {
        const { stdout, stderr } = await promisify(execFile)(process.execPath, command, options)
        return { failed: false, said: stdout + stderr }
      } catch (error) {
        const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
        return { failed: true, said: stdout + stderr }
      }
    },
    setConfig: (text) => writeFileSync(configFile, text),
    setParameters: (text) => writeFileSync(join(home, 'params.yml'), text),
    templateFile,
    template: () => JSON.parse(readFileSync(templateFile, 'utf8')) as Template,
  }
}
