import * as z from 'zod'
import type { BackfillRequest } from '../../shared/backfill/control.ts'
import { tallySchema } from '../../shared/backfill/estimate.ts'
import { limitsSchema, specSchema, statuses } from '../../shared/backfill/run.ts'
import { FunctionError } from '../../shared/errors.ts'
import { reportSchema } from '../../shared/proof/report.ts'
import { type CliContext, type GlobalOptions, loadConfig } from '../context.ts'
import { unlessInterrupted } from '../exit-codes.ts'

/** The function of backfills, asked by Lambda's Invoke with AWS credentials. */

const numbers = z.record(z.string(), z.number())

const shownSchema = z.object({
  id: z.string(),
  spec: specSchema,
  limits: limitsSchema,
  status: z.enum(statuses),
  startedAt: z.number(),
  endedAt: z.number().optional(),
  why: z.string().optional(),
  report: z.string().optional(),
  estimate: numbers.nullable(),
  counts: numbers,
  refused: z.array(z.object({ subject: z.string(), reason: z.string() })),
  refusedTotal: z.number(),
  where: z.array(z.string()),
  inFlight: z.number(),
})
export type ShownRun = z.infer<typeof shownSchema>

export const answers = {
  run: z.object({ run: shownSchema, joined: z.boolean().optional(), account: reportSchema.optional() }),
  runs: z.object({ runs: z.array(shownSchema) }),
  estimate: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('goes on'), tally: tallySchema }),
    z.object({ kind: z.literal('estimated'), estimate: numbers, notes: z.array(z.string()) }),
  ]),
}

/** Without the word that every request begins with. */
type Request = BackfillRequest extends infer One
  ? One extends { lifeboat: 'backfill' }
    ? Omit<One, 'lifeboat'>
    : never
  : never

export type Asker = { name: string; ask: <T>(schema: z.ZodType<T>, request: Request) => Promise<T> }

export const withAsker = async <T>(
  context: CliContext,
  options: GlobalOptions,
  work: (asker: Asker) => Promise<T>,
): Promise<T> => {
  const config = await loadConfig(context, options)
  const name = `lifeboat-${options.stage}-backfill`
  const { createFunctionInvoker } = await import('../../shared/clouds/aws/function-invoker.ts')
  const functions = createFunctionInvoker({ region: config.source.region })
  try {
    return await work({
      name,
      ask: async (schema, request) => {
        const answer = await unlessInterrupted(context.signal, () =>
          functions.invoke(name, { lifeboat: 'backfill', ...request }),
        )
        const parsed = schema.safeParse(answer)
        if (!parsed.success) throw new FunctionError(`${name} answered something else: is it of another version?`)
        return parsed.data
      },
    })
  } finally {
    functions.close()
  }
}
