/**
 * Applies `work` to every item with at most `concurrency` under way and yields the results in order. When one fails,
 * the others are settled before the error is thrown, so that nothing runs on behind the caller's back.
 */
export async function* mapInOrder<T, R>(
  items: AsyncIterable<T> | Iterable<T>,
  concurrency: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const window: Promise<R>[] = []
  const head = async (): Promise<R> => {
    const result = await (window[0] as Promise<R>)
    void window.shift()
    return result
  }
  try {
    for await (const item of items) {
      const promise = work(item)
      promise.catch(() => undefined)
      window.push(promise)
      if (window.length >= concurrency) yield await head()
    }
    while (window.length > 0) yield await head()
  } finally {
    await Promise.allSettled(window)
  }
}

/** Runs `work` on every item with bounded concurrency, for its effects. */
export const forEachBounded = async <T>(
  items: AsyncIterable<T> | Iterable<T>,
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> => {
  for await (const _ of mapInOrder(items, concurrency, work));
}

export const toArray = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
