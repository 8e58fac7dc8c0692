import { crcWasm } from './kernels/crc.wasm.ts'
import { instantiate, memoryOf, type WasmMemory } from './wasm.ts'

/** The functions are those of kernels/crc.ts. */
type Kernels = {
  memory: WasmMemory
  fill(polynomial: bigint): void
  update(polynomial: bigint, one: bigint, crc: bigint, bytes: number): bigint
}

const dataAt = 4096 + 8 * 2048
/** A piece stays in the cache between being copied there and being read. */
const pieceBytes = 2 ** 18

/** A reflected CRC whose register begins with all ones and is inverted at the end. */
export type Crc = {
  initial: bigint
  /** The register after these bytes too. */
  next: (register: bigint, bytes: Uint8Array) => bigint
  finish: (register: bigint) => bigint
}

/** `polynomial` is reflected and has `bits` bits, at most 64. */
export const createCrc = (polynomial: bigint, bits: number): Crc => {
  const kernels = instantiate(crcWasm) as Kernels
  const memory = memoryOf(kernels.memory, dataAt + pieceBytes)
  kernels.fill(polynomial)
  const one = 1n << BigInt(bits - 1)
  const initial = (1n << BigInt(bits)) - 1n
  return {
    initial,
    next: (register, bytes) => {
      let value = register
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        const piece = bytes.subarray(at, at + pieceBytes)
        memory.set(piece, dataAt)
        value = BigInt.asUintN(64, kernels.update(polynomial, one, value, piece.length))
      }
      return value
    },
    finish: (register) => register ^ initial,
  }
}
