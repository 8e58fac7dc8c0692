/** What differs by more than 15% between an estimate and the account of what was done. */
export const estimateProblems = (
  name: string,
  estimate: Readonly<Record<string, number>>,
  counts: Readonly<Record<string, number>>,
): string[] =>
  ['bytesRead', 'bytesSent']
    .filter((bytes) => !(Math.abs((estimate[bytes] ?? 0) / (counts[bytes] ?? 0) - 1) <= 0.15))
    .map((bytes) => `${name}: ${bytes} ${counts[bytes]}, estimated ${estimate[bytes]}`)
