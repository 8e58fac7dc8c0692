import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

// https://www.rfc-editor.org/rfc/rfc9113#section-3.4
const isHttp2 = (first: Buffer): boolean => first.subarray(0, 3).equals(Buffer.from('PRI'))

/** What HTTP/1 says is passed on to the server at `controlPort`. */
const passOn = (socket: Socket, controlPort: number): void => {
  const control = connect(controlPort, '127.0.0.1')
  socket.pipe(control).pipe(socket)
  control.on('error', () => socket.destroy())
  socket.on('error', () => control.destroy())
  socket.on('close', () => control.destroy())
}

/**
 * One port on loopback for gRPC and for HTTP/1, so that a service has one url as the others have, its controls on it:
 * what a connection begins with tells them apart.
 */
export const listenOnOnePort = async (options: {
  port?: number
  controlPort: number
  onGrpc: (socket: Socket) => void
}): Promise<{ port: number; close(): Promise<void> }> => {
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.once('data', (first: Buffer) => {
      socket.pause()
      socket.unshift(first)
      if (isHttp2(first)) options.onGrpc(socket)
      else passOn(socket, options.controlPort)
    })
  })
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}
