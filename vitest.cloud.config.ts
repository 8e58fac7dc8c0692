import { defineConfig } from 'vitest/config'

/** `npm run test:cloud`: on the accounts that lifeboat.yml names, and never by default. */
export default defineConfig({
  test: { include: ['test/cloud/*.cloud.ts'], testTimeout: 20 * 60_000, pool: 'forks', maxWorkers: 1 },
})
