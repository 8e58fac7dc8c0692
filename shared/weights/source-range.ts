import { UnavailableError } from '../errors.ts'
import type { ObjectRef, ObjectSource } from '../ports.ts'

/** Bytes [start, end) of an object, whole, in a buffer of their own. */
export const readRange = async (
  source: Pick<ObjectSource, 'read'>,
  object: ObjectRef & { etag: string },
  start: number,
  end: number,
): Promise<Uint8Array> => {
  const bytes = Buffer.allocUnsafeSlow(end - start)
  let position = 0
  for await (const part of source.read(object, start, end)) {
    bytes.set(part, position)
    position += part.length
  }
  if (position !== bytes.length)
    throw new UnavailableError(`the source gave ${position} bytes of ${bytes.length}: read again`)
  return bytes
}
