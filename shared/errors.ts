/** Every error of Lifeboat, with whether trying the same thing again can help. */

export abstract class LifeboatError extends Error {
  /** True where the same call may succeed later: throttling, a cut connection, a lost race. */
  readonly retryable: boolean = false
}

/** A cloud was unreachable, throttled or answered 5xx. */
export class UnavailableError extends LifeboatError {
  override readonly name = 'UnavailableError'
  override readonly retryable = true
}

/** A cloud refused the caller: credentials, IAM, KMS. */
export class DeniedError extends LifeboatError {
  override readonly name = 'DeniedError'
}

/** A conditional write lost: the name exists, or its generation, metageneration or ledger condition differs. */
export class ConflictError extends LifeboatError {
  override readonly name = 'ConflictError'
}

/** The source no longer has the object version that was planned (If-Match failed, or it is gone). */
export class SupersededError extends LifeboatError {
  override readonly name = 'SupersededError'
}

/** Something required does not exist. Reads that may find nothing answer `undefined` instead. */
export class NotFoundError extends LifeboatError {
  override readonly name = 'NotFoundError'
}

/** Bytes are not what their name, digest or header says. */
export class CorruptError extends LifeboatError {
  override readonly name = 'CorruptError'
}

/** Written by a newer major version of the format than this program reads. */
export class FormatVersionError extends LifeboatError {
  override readonly name = 'FormatVersionError'
}

/** The source's own checksum and the bytes that were read disagree. */
export class ChecksumMismatchError extends LifeboatError {
  override readonly name = 'ChecksumMismatchError'
}

/** Input from outside (event, argument, configuration, manifest) is not of its schema. */
export class InvalidInputError extends LifeboatError {
  override readonly name = 'InvalidInputError'
}

/** The configuration does not cover this bucket, account or table. */
export class NotConfiguredError extends LifeboatError {
  override readonly name = 'NotConfiguredError'
}

/** A path of a manifest would leave, collide in or be illegal under the restore folder. */
export class UnsafePathError extends LifeboatError {
  override readonly name = 'UnsafePathError'
}

/** The place that a restore writes to is full, read-only or not allowed. */
export class TargetDiskError extends LifeboatError {
  override readonly name = 'TargetDiskError'
}

/** What was asked for is not safe as things are, and would be refused again until they change. */
export class RefusedError extends LifeboatError {
  override readonly name = 'RefusedError'
}

/** A function of Lifeboat ended with an error that is none of these. */
export class FunctionError extends LifeboatError {
  override readonly name = 'FunctionError'
}

export const isRetryable = (error: unknown): boolean => error instanceof LifeboatError && error.retryable
