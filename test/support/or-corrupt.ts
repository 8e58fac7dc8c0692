import { CorruptError } from '../../shared/errors.ts'

/** What `decode` answers, or undefined where it refuses with a CorruptError; any other error is thrown. */
export const orCorrupt = <T>(decode: () => T): T | undefined => {
  try {
    return decode()
  } catch (error) {
    if (error instanceof CorruptError) return undefined
    throw error
  }
}
