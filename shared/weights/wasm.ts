/** What is used of the platform's WebAssembly, for which neither Node's nor the language's own types speak. */
type Wasm = {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { exports: unknown }
}

export type WasmMemory = { buffer: ArrayBuffer; grow(pages: number): number }

const pageBytes = 2 ** 16

/** A new instance of a module of kernels/, given as base64. */
export const instantiate = (base64: string): unknown => {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly
  return new Instance(new Module(Buffer.from(base64, 'base64'))).exports
}

/** All of the memory, of `bytes` at least; views from before are empty where it had less. */
export const memoryOf = (memory: WasmMemory, bytes: number): Uint8Array => {
  const missing = bytes - memory.buffer.byteLength
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
  return new Uint8Array(memory.buffer)
}
