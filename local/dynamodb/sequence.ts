/**
 * Sequence numbers as consumers see them, from a counter. They are neither dense nor of one length: the step is more
 * than 1 and the 1,031st number has 22 digits where those before it have 21, so that arithmetic on them or comparing
 * them as strings goes wrong here as it would at AWS.
 *
 * counter 1 -> 999999999999999900097, counter 1030 -> 999999999999999999910, counter 1031 -> 1000000000000000000007
 */
const base = 999_999_999_999_999_900_000n
const step = 97n

export const toSequenceNumber = (counter: number): string => String(base + BigInt(counter) * step)

/** The last counter whose number is at most `text`, or below it where `strictly`. Never negative. */
export const toCounter = (text: string, strictly = false): number => {
  const distance = BigInt(text) - base - (strictly ? 1n : 0n)
  return distance < 0n ? 0 : Number(distance / step)
}
