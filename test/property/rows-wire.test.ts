import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { loadProtocol } from '../../local/bigtable/protocol.ts'
import { encodeField, encodeMutations, encodeVarint, type Mutation } from '../../shared/clouds/gcp/bigtable-wire.ts'
import { bytes, mutationMessages } from '../support/bigtable.ts'

/** What is written by hand are the bytes that the SDK's own .proto files give. */

const { CheckAndMutateRow, MutateRows } = loadProtocol().services.data
const serialize = (request: object): Buffer => CheckAndMutateRow!.requestSerialize(request)

const family = fc.constantFrom('d', 'm', 'h', 'a-longer-family')
// Lengths on both sides of where another byte of length begins.
const length = fc.oneof(fc.nat(3), fc.integer({ min: 100, max: 130 }), fc.integer({ min: 16_360, max: 16_400 }))
const latin1 = fc.tuple(length, fc.nat(255)).map(([count, unit]) => String.fromCharCode(unit).repeat(count))
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  family.map((name) => ({ family: name })),
  fc.record({ family, qualifier: latin1, value: latin1.map(bytes) }),
)
const second = fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 9_007_199_254 }))
const mutations = fc.array(mutation, { maxLength: 6 })

describe('mutations in protobuf', () => {
  it('are those of a check and mutation', () => {
    fc.assert(
      fc.property(mutations, second, (list, time) => {
        const messages = mutationMessages(list, time)
        expect(encodeMutations(5, list, time * 1e6).equals(serialize({ falseMutations: messages }))).toBe(true)
        expect(encodeMutations(4, list, time * 1e6).equals(serialize({ trueMutations: messages }))).toBe(true)
      }),
    )
  })

  it('are those of an entry, behind the rest of its request', () => {
    fc.assert(
      fc.property(latin1, mutations, second, (key, list, time) => {
        const entry = { rowKey: bytes(key), mutations: mutationMessages(list, time) }
        const written = encodeField(2, [encodeField(1, [bytes(key)]), encodeMutations(2, list, time * 1e6)])
        const head = MutateRows!.requestSerialize({ tableName: 'projects/p', appProfileId: 'one' })
        const read = MutateRows!.requestDeserialize(Buffer.concat([head, written]))
        const whole = { tableName: 'projects/p', appProfileId: 'one', entries: [entry] }
        expect(read).toEqual(MutateRows!.requestDeserialize(MutateRows!.requestSerialize(whole)))
      }),
    )
  })

  it('have a value of megabytes whole', () => {
    for (const size of [2 ** 21 - 1, 2 ** 21]) {
      const list = [{ family: 'd', qualifier: 'q', value: Buffer.alloc(size, 7) }]
      const expected = serialize({ falseMutations: mutationMessages(list, 1) })
      expect(encodeMutations(5, list, 1e6).equals(expected)).toBe(true)
    }
  })

  it('have the numbers of the encoding guide', () => {
    // https://protobuf.dev/programming-guides/encoding/#varints
    expect([0, 1, 127, 128, 150].map((number) => encodeVarint(number).toString('hex'))).toEqual([
      '00',
      '01',
      '7f',
      '8001',
      '9601',
    ])
    expect(encodeVarint(-1).toString('hex')).toBe('ffffffffffffffffff01')
  })
})
