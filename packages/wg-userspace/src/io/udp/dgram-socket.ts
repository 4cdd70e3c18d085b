import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import { once } from "../../async/abort.ts";
import { EngineError } from "../../base/errors.ts";
import { formatIp } from "../../base/ip.ts";
import type { PacketCipher } from "../../base/ports.ts";
import type { UdpPath } from "../../magicsock/path.ts";
import { type FamilySocket, SOCKET_BUFFER_BYTES, type UdpSocketHandler } from "./datagram-socket.ts";

const DEFAULT_TTL = 64;

/** Binds a socket of `node:dgram`: one system call per datagram, on every platform. Rejects with the system's error. */
export async function bindDgramSocket(
  family: 4 | 6,
  port: number,
  cipher: PacketCipher,
  handler: UdpSocketHandler,
): Promise<FamilySocket> {
  // The address is always a literal: the lookup returns it as it is, synchronously.
  const socket = createSocket({
    type: family === 6 ? "udp6" : "udp4",
    ipv6Only: family === 6,
    lookup: (hostname, _options, done) => done(null, hostname, isIP(hostname)),
  });
  const bound = once(socket, "listening"); // the lookup answers synchronously, so bind() itself emits "listening"
  socket.bind(port);
  await bound;
  for (const set of [
    () => socket.setRecvBufferSize(SOCKET_BUFFER_BYTES),
    () => socket.setSendBufferSize(SOCKET_BUFFER_BYTES),
  ]) {
    try {
      set();
    } catch {
      // The kernel's default stays, which is slower under bursts but never wrong.
    }
  }
  return new DgramSocket(socket, cipher, handler);
}

class DgramSocket implements FamilySocket {
  readonly port: number;
  readonly #socket: Socket;
  readonly #cipher: PacketCipher;
  readonly #handler: UdpSocketHandler;
  /** One view per slot, made when first used. */
  readonly #views = new Map<number, Uint8Array>();
  readonly #hosts = new WeakMap<UdpPath, string>();
  #closed = false;

  constructor(socket: Socket, cipher: PacketCipher, handler: UdpSocketHandler) {
    this.port = socket.address().port;
    this.#socket = socket;
    this.#cipher = cipher;
    this.#handler = handler;
    socket.on("message", (datagram, from) => {
      // Answering a longer ping would promise to accept data of that size.
      if (datagram.length > cipher.rx.stride) handler.onTooLong();
      else handler.onDatagram(from.address, from.port, datagram);
    });
    socket.on("error", (error) =>
      handler.onError(
        new EngineError("ERR_IO", `UDP socket failed: ${error.message}`, { cause: error, retryable: true }),
      ),
    );
  }

  get waiting(): number {
    return this.#closed ? 0 : this.#socket.getSendQueueCount();
  }

  send(to: UdpPath, slot: number, length: number): void {
    if (this.#closed) {
      this.#cipher.tx.release(slot);
      return;
    }
    const host = this.#hostOf(to);
    if (this.waiting > 0) {
      // The kernel's buffer is full: this datagram keeps its slot until libuv has sent it.
      this.#socket.send(this.#view(slot), 0, length, to.address.port, host, () => {
        this.#cipher.tx.release(slot);
        this.#handler.onDrain();
      });
      return;
    }
    this.#socket.send(this.#view(slot), 0, length, to.address.port, host); // without a callback an error counts as a loss
    if (this.waiting === 0) this.#cipher.tx.release(slot);
    else setImmediate(() => this.#releaseWhenSent(slot));
  }

  flush(): void {
    // Every datagram was handed over when it was sent.
  }

  sendProbe(to: UdpPath, packet: Uint8Array, ttl: number | undefined): void {
    if (this.#closed) return;
    if (ttl === undefined) {
      this.#socket.send(packet, to.address.port, this.#hostOf(to));
      return;
    }
    if (this.waiting > 0) return; // the limit would hit bulk data that still waits
    try {
      this.#socket.setTTL(ttl);
      this.#socket.send(packet, to.address.port, this.#hostOf(to));
    } finally {
      this.#socket.setTTL(DEFAULT_TTL);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
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
      host = formatIp(path.address.address);
      this.#hosts.set(path, host);
    }
    return host;
  }
}
