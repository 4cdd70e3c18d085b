import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import { EngineError } from "../base/errors.ts";
import { formatIp, isIpv4 } from "../base/ip.ts";
import type { PacketCipher } from "../base/ports.ts";
import type { UdpPath } from "../magicsock/path.ts";

/** Asked of the kernel; what it granted is readable on the socket. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** What the driver needs of a datagram carrier: a native module with GSO can take this place. */
export interface DatagramSocket {
  /** Sends `memory.bytes[slot, slot + length)` and releases the TX slot when the socket is done with it. */
  send(to: UdpPath, slot: number, length: number): void;
  /** Datagrams the kernel has not taken yet. */
  readonly waiting: number;
  readonly port: number;
  close(): void;
}

export interface UdpSocketHandler {
  /** One received datagram; the bytes are the socket's and valid during the call. */
  onDatagram(address: string, port: number, datagram: Uint8Array): void;
  /** The socket broke and is closed. */
  onError(error: EngineError): void;
  /** Fewer datagrams wait than before: congestion may be over. */
  onDrain(): void;
}

/**
 * Binds one UDP socket for both families (falling back to IPv4 where there is no IPv6). Transient send errors, such as an
 * unreachable network or a full buffer, count as loss: the layers above retransmit.
 */
export async function bindUdpSocket(
  options: { readonly port: number; readonly cipher: PacketCipher },
  handler: UdpSocketHandler,
): Promise<DatagramSocket> {
  try {
    return await bind("udp6", options, handler);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL" && code !== "EINVAL") throw bindError(error, options.port);
  }
  try {
    return await bind("udp4", options, handler);
  } catch (error) {
    throw bindError(error, options.port);
  }
}

function bindError(error: unknown, port: number): EngineError {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "EADDRINUSE"
    ? new EngineError("ERR_ADDRESS_IN_USE", `UDP port ${port} is in use`, { cause: error })
    : new EngineError("ERR_IO", `cannot bind UDP port ${port}: ${code ?? String(error)}`, { cause: error });
}

async function bind(
  family: "udp4" | "udp6",
  options: { readonly port: number; readonly cipher: PacketCipher },
  handler: UdpSocketHandler,
): Promise<DatagramSocket> {
  // The address is always a literal: resolving it is the identity, and synchronous.
  const socket = createSocket({
    type: family,
    lookup: (hostname, _options, done) => done(null, hostname, isIP(hostname)),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(options.port, () => {
      socket.off("error", reject);
      resolve();
    });
  });
  for (const set of [
    () => socket.setRecvBufferSize(SOCKET_BUFFER_BYTES),
    () => socket.setSendBufferSize(SOCKET_BUFFER_BYTES),
  ]) {
    try {
      set();
    } catch {
      // The kernel's default stays: slower under bursts, never wrong.
    }
  }
  return new NodeUdpSocket(socket, family, options.cipher, handler);
}

class NodeUdpSocket implements DatagramSocket {
  readonly #socket: Socket;
  readonly #mapped: boolean;
  readonly #cipher: PacketCipher;
  readonly #handler: UdpSocketHandler;
  /** One view per slot, made when first used. */
  readonly #views = new Map<number, Uint8Array>();
  readonly #hosts = new WeakMap<UdpPath, string>();

  constructor(socket: Socket, family: "udp4" | "udp6", cipher: PacketCipher, handler: UdpSocketHandler) {
    this.#socket = socket;
    this.#mapped = family === "udp6";
    this.#cipher = cipher;
    this.#handler = handler;
    socket.on("message", (datagram, from) => handler.onDatagram(unmapped(from.address), from.port, datagram));
    socket.on("error", (error) => {
      socket.close();
      handler.onError(
        new EngineError("ERR_IO", `UDP socket failed: ${error.message}`, { cause: error, retryable: true }),
      );
    });
  }

  get waiting(): number {
    return this.#socket.getSendQueueCount();
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(to: UdpPath, slot: number, length: number): void {
    const host = this.#hostOf(to);
    if (this.waiting > 0) {
      // The kernel's buffer is full: this datagram keeps its slot until libuv has sent it.
      this.#socket.send(this.#view(slot), 0, length, to.address.port, host, () => {
        this.#cipher.tx.release(slot);
        this.#handler.onDrain();
      });
      return;
    }
    this.#socket.send(this.#view(slot), 0, length, to.address.port, host); // without callback: an error is a loss
    if (this.waiting === 0) this.#cipher.tx.release(slot);
    else setImmediate(() => this.#releaseWhenSent(slot));
  }

  close(): void {
    this.#socket.close();
  }

  #releaseWhenSent(slot: number): void {
    if (this.waiting > 0) setImmediate(() => this.#releaseWhenSent(slot));
    else {
      this.#cipher.tx.release(slot);
      this.#handler.onDrain();
    }
  }

  #view(slot: number): Uint8Array {
    let view = this.#views.get(slot);
    if (view === undefined) {
      view = this.#cipher.memory.bytes.subarray(slot, slot + this.#cipher.tx.stride);
      this.#views.set(slot, view);
    }
    return view;
  }

  #hostOf(path: UdpPath): string {
    let host = this.#hosts.get(path);
    if (host === undefined) {
      const text = formatIp(path.address.address);
      host = this.#mapped && isIpv4(path.address.address) ? `::ffff:${text}` : text;
      this.#hosts.set(path, host);
    }
    return host;
  }
}

function unmapped(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
