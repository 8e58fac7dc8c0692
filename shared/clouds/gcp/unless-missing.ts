import { NotFoundError } from '../../errors.ts'

/** undefined where the thing itself is not there. */
export const unlessMissing = async <T>(call: () => Promise<T>): Promise<T | undefined> => {
  try {
    return await call()
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
