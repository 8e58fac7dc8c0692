import { runVitest } from './run-vitest.ts'
import type { Topic } from './topic.ts'

/** What the test file runs for each seed. */
const operationsPerSeed = 500

export const fuzzDynamoDb: Topic = {
  name: 'fuzz-dynamodb',
  about: 'random conditional writes and transactions, the embedded DynamoDB against moto (needs moto_server)',
  seedsDefault: 20,
  runs: (seeds) =>
    Array.from({ length: seeds }, (_, index) => ({
      name: `seed ${index + 1}`,
      run: async () => {
        const { problems } = await runVitest('test/contract/dynamodb-fuzz.test.ts', {
          LIFEBOAT_SEED: String(index + 1),
        })
        return { figures: { operations: operationsPerSeed }, problems }
      },
    })),
}
