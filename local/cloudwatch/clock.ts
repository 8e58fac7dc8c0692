/**
 * CloudWatch's time where minutes pass faster than real ones: it began when the service did, and goes `speed` times as fast.
 * Callers say and are told real times.
 */
export type ScaledClock = { now(): number; toScaled(realMs: number): number; toReal(scaledMs: number): number }

export const createScaledClock = (speed: number, now: () => number = Date.now): ScaledClock => {
  const beganAt = now()
  const toScaled = (realMs: number): number => beganAt + (realMs - beganAt) * speed
  return { now: () => toScaled(now()), toScaled, toReal: (scaledMs) => beganAt + (scaledMs - beganAt) / speed }
}
