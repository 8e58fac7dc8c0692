import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The path of a program of the deep tier, or undefined (announced once on the console) where this machine has none. */
export const findTool = (name: string): string | undefined => {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const file = join(folder, name)
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {
      continue
    }
  }
  console.log(`deep tier: ${name} is not on the PATH, its checks are skipped`)
  return undefined
}
