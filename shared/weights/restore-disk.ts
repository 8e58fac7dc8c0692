/** The folder that a restore writes to, as the engine sees it. Paths are relative, with slashes, and never followed through a link. */

export type DiskFile = {
  /** Up to `length` bytes from `offset`, fewer at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>
  /** All of `bytes` at `offset`. */
  write(offset: number, bytes: Uint8Array): Promise<void>
  truncate(size: number): Promise<void>
  /** Resolves when the bytes would survive a power cut. */
  sync(): Promise<void>
  close(): Promise<void>
}

export type DiskEntry = { kind: 'file' | 'folder' | 'link' | 'other'; size: number }

/** Throws TargetDiskError, naming the path, where the disk is full, read-only or refuses. */
export type RestoreDisk = {
  inspect(path: string): Promise<DiskEntry | undefined>
  /** Makes the folder and those above it; the empty path is the restore folder itself. */
  makeFolder(path: string): Promise<void>
  openToRead(path: string): Promise<DiskFile>
  /** Opens for reading and writing, creating an empty file where there is none. */
  openToWrite(path: string): Promise<DiskFile>
  readText(path: string): Promise<string | undefined>
  writeText(path: string, text: string): Promise<void>
  /** Replaces what is at `to`; durable when it resolves. */
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** `time` in ms. */
  setModified(path: string, time: number): Promise<void>
  /** Bytes that can still be written, where the system says. */
  freeBytes(): Promise<number | undefined>
}
