import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import { EngineError } from "../base/errors.ts";
import { formatIp, isIpv4 } from "../base/ip.ts";
import type { PacketCipher } from "../base/ports.ts";
import type { UdpPath } from "../magicsock/path.ts";

/** Asked of the kernel; what it granted is readable on the socket. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
const DEFAULT_TTL = 64;
/** Errors that mean "this host does not have that address family". */
const NO_FAMILY = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL", "EPROTONOSUPPORT"]);

/** What the driver needs of a datagram carrier: a native module with GSO can take this place. */
export interface DatagramSocket {
  /** Sends `memory.bytes[slot, slot + length)` and releases the TX slot when the socket is done with it. */
  send(to: UdpPath, slot: number, length: number): void;
  /** Sends one packet that is no bulk data; copied. `ttl`: hop limit for this one only. */
  sendProbe(to: UdpPath, packet: Uint8Array, ttl: number | undefined): void;
  /** Datagrams the kernel has not taken yet. */
  readonly waiting: number;
  /** Local ports by family; undefined where the host lacks the family. */
  readonly ports: { readonly ipv4: number | undefined; readonly ipv6: number | undefined };
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
 * Binds UDP for IPv4 and IPv6 on the same port, or whichever family the host has. One socket per family, since a hop limit
 * can be set for IPv4 only on an IPv4 socket. Transient send errors, such as an unreachable network or a full buffer, count
 * as loss: the layers above retransmit.
 */
export async function bindUdpSocket(
  options: { readonly port: number; readonly cipher: PacketCipher },
  handler: UdpSocketHandler,
): Promise<DatagramSocket> {
  const v4 = await bindFamily("udp4", options.port);
  const wanted = v4?.address().port ?? options.port;
  let v6: Socket | undefined;
  try {
    // A port that only IPv4 had free is no reason to fail when any port will do.
    v6 = await bindFamily("udp6", wanted).catch((error: unknown) => {
      if (options.port === 0 && v4 !== undefined) return bindFamily("udp6", 0);
      throw error;
    });
  } catch (error) {
    v4?.close();
    throw error;
  }
  if (v4 === undefined && v6 === undefined) throw new EngineError("ERR_IO", "this host has neither IPv4 nor IPv6");
  return new DualSocket(v4, v6, options.cipher, handler);
}

/** Undefined where the host lacks the family. */
async function bindFamily(family: "udp4" | "udp6", port: number): Promise<Socket | undefined> {
  // The address is always a literal: resolving it is the identity, and synchronous.
  const socket = createSocket({
    type: family,
    ipv6Only: family === "udp6",
    lookup: (hostname, _options, done) => done(null, hostname, isIP(hostname)),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(port, () => {
        socket.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    if (NO_FAMILY.has(code)) return undefined;
    throw code === "EADDRINUSE"
      ? new EngineError("ERR_ADDRESS_IN_USE", `UDP port ${port} is in use`, { cause: error })
      : new EngineError("ERR_IO", `cannot bind UDP port ${port}: ${code}`, { cause: error });
  }
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
  return socket;
}

class DualSocket implements DatagramSocket {
  readonly ports: DatagramSocket["ports"];
  readonly #v4: FamilySocket | undefined;
  readonly #v6: FamilySocket | undefined;
  readonly #cipher: PacketCipher;

  constructor(v4: Socket | undefined, v6: Socket | undefined, cipher: PacketCipher, handler: UdpSocketHandler) {
    this.#cipher = cipher;
    this.ports = { ipv4: v4?.address().port, ipv6: v6?.address().port };
    let broken = false;
    const shared: UdpSocketHandler = {
      onDatagram: handler.onDatagram.bind(handler),
      onDrain: handler.onDrain.bind(handler),
      onError: (error) => {
        if (broken) return;
        broken = true;
        this.close();
        handler.onError(error);
      },
    };
    this.#v4 = v4 && new FamilySocket(v4, cipher, shared);
    this.#v6 = v6 && new FamilySocket(v6, cipher, shared);
  }

  get waiting(): number {
    return (this.#v4?.waiting ?? 0) + (this.#v6?.waiting ?? 0);
  }

  send(to: UdpPath, slot: number, length: number): void {
    const socket = isIpv4(to.address.address) ? this.#v4 : this.#v6;
    if (socket === undefined) this.#cipher.tx.release(slot);
    else socket.send(to, slot, length);
  }

  sendProbe(to: UdpPath, packet: Uint8Array, ttl: number | undefined): void {
    const socket = isIpv4(to.address.address) ? this.#v4 : this.#v6;
    socket?.sendProbe(to, packet, ttl);
  }

  close(): void {
    this.#v4?.close();
    this.#v6?.close();
  }
}

class FamilySocket {
  readonly #socket: Socket;
  readonly #cipher: PacketCipher;
  readonly #handler: UdpSocketHandler;
  /** One view per slot, made when first used. */
  readonly #views = new Map<number, Uint8Array>();
  readonly #hosts = new WeakMap<UdpPath, string>();
  #closed = false;

  constructor(socket: Socket, cipher: PacketCipher, handler: UdpSocketHandler) {
    this.#socket = socket;
    this.#cipher = cipher;
    this.#handler = handler;
    socket.on("message", (datagram, from) => handler.onDatagram(from.address, from.port, datagram));
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
    this.#socket.send(this.#view(slot), 0, length, to.address.port, host); // without callback an error is a loss
    if (this.waiting === 0) this.#cipher.tx.release(slot);
    else setImmediate(() => this.#releaseWhenSent(slot));
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
