/** Locks by name, held all together; waiting is first come, first served, and taking them sorted avoids a deadlock. */
export type KeyLocks = { hold<T>(names: string[], work: () => Promise<T>): Promise<T> }

export const createKeyLocks = (): KeyLocks => {
  const tails = new Map<string, Promise<void>>()
  const take = async (name: string): Promise<() => void> => {
    const before = tails.get(name)
    const { promise, resolve } = Promise.withResolvers<void>()
    tails.set(name, promise)
    await before
    return () => {
      if (tails.get(name) === promise) tails.delete(name)
      resolve()
    }
  }
  return {
    hold: async (names, work) => {
      const releases: (() => void)[] = []
      try {
        for (const name of [...new Set(names)].toSorted()) releases.push(await take(name))
        return await work()
      } finally {
        for (const release of releases) release()
      }
    },
  }
}
