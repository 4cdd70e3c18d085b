import { EngineError } from "../../base/errors.ts";
import { isIpv4 } from "../../base/ip.ts";
import type { PacketCipher } from "../../base/ports.ts";
import type { UdpPath } from "../../magicsock/path.ts";
import { bindBatchSocket } from "./batch-socket.ts";
import type { DatagramSocket, FamilySocket, UdpSocketHandler } from "./datagram-socket.ts";
import { bindDgramSocket } from "./dgram-socket.ts";
import { loadUdpBatch } from "./udp-batch.ts";

/** Errors that mean "this host does not have that address family". */
const NO_FAMILY = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL", "EPROTONOSUPPORT"]);
/** Errors that mean "this kernel lacks what the native module needs". */
const NOT_OFFERED = new Set(["ENOSYS", "ENOPROTOOPT", "EOPNOTSUPP"]);

/**
 * Binds UDP for IPv4 and IPv6 on the same port, or whichever family the host has. One socket per family, since a hop limit can be
 * set for IPv4 only on an IPv4 socket. Transient send errors, such as an unreachable network or a full buffer, count as loss: the
 * layers above retransmit. Uses the native module if there is one, else `node:dgram`.
 */
export async function bindUdpSocket(
  options: { readonly port: number; readonly cipher: PacketCipher },
  handler: UdpSocketHandler,
): Promise<DatagramSocket> {
  const { cipher } = options;
  let broken = false;
  let socket: DualSocket | undefined;
  // If either family breaks, the other is closed too, once.
  const shared: UdpSocketHandler = {
    ...handler,
    onError: (error) => {
      if (broken) return;
      broken = true;
      socket?.close();
      handler.onError(error);
    },
  };
  const v4 = await bindFamily(4, options.port, cipher, shared);
  const wanted = v4?.port ?? options.port;
  let v6: FamilySocket | undefined;
  try {
    // A port that only IPv4 had free must not fail the call when any port will do.
    v6 = await bindFamily(6, wanted, cipher, shared).catch((error: unknown) => {
      if (options.port === 0 && v4 !== undefined) return bindFamily(6, 0, cipher, shared);
      throw error;
    });
  } catch (error) {
    v4?.close();
    throw error;
  }
  if (v4 === undefined && v6 === undefined) throw new EngineError("ERR_IO", "this host has neither IPv4 nor IPv6");
  socket = new DualSocket(v4, v6, cipher);
  return socket;
}

/** Undefined if the host lacks the family. */
async function bindFamily(
  family: 4 | 6,
  port: number,
  cipher: PacketCipher,
  handler: UdpSocketHandler,
): Promise<FamilySocket | undefined> {
  const native = loadUdpBatch();
  try {
    if (native !== undefined) {
      try {
        return bindBatchSocket(native, family, port, cipher, handler);
      } catch (error) {
        if (!NOT_OFFERED.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
      }
    }
    return await bindDgramSocket(family, port, cipher, handler);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    if (NO_FAMILY.has(code)) return undefined;
    throw code === "EADDRINUSE"
      ? new EngineError("ERR_ADDRESS_IN_USE", `UDP port ${port} is in use`, { cause: error })
      : new EngineError("ERR_IO", `cannot bind UDP port ${port}: ${code}`, { cause: error });
  }
}

class DualSocket implements DatagramSocket {
  readonly ports: DatagramSocket["ports"];
  readonly #v4: FamilySocket | undefined;
  readonly #v6: FamilySocket | undefined;
  readonly #cipher: PacketCipher;

  constructor(v4: FamilySocket | undefined, v6: FamilySocket | undefined, cipher: PacketCipher) {
    this.#cipher = cipher;
    this.ports = { ipv4: v4?.port, ipv6: v6?.port };
    this.#v4 = v4;
    this.#v6 = v6;
  }

  get waiting(): number {
    return (this.#v4?.waiting ?? 0) + (this.#v6?.waiting ?? 0);
  }

  send(to: UdpPath, slot: number, length: number): void {
    const socket = isIpv4(to.address.address) ? this.#v4 : this.#v6;
    if (socket === undefined) this.#cipher.tx.release(slot);
    else socket.send(to, slot, length);
  }

  flush(): void {
    this.#v4?.flush();
    this.#v6?.flush();
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
