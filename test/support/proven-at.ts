import type { ProofState } from '../../shared/proof/proof-state.ts'

/** What a record has of the last time that everything was right. */
export const provenAtOf = async (state: ProofState, name: string): Promise<number | undefined> => {
  const record = await state.read(name)
  return (record?.value as { provenAt?: number } | undefined)?.provenAt
}
