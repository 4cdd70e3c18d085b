/**
 * Asks STUN servers for our address, from one socket per address family, because only then can their answers be compared to
 * detect a NAT.
 */
import { createSocket, type Socket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { isIP, isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import type { AddrPort } from "wg-userspace/base/ip";
import { DEFAULT_STUN_PORT, type Node } from "wg-userspace/derp/map";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { optionalNames } from "wg-userspace/io/host/optional-names";
import {
  encodeBindingRequest,
  parseBindingResponse,
  TRANSACTION_ID_BYTES,
  transactionIdOf,
} from "wg-userspace/stun/message";
import { nodeErrorCode } from "../base/errors.ts";

/** When one request is sent, in ms after the first time: UDP loses some datagrams. */
/** For a name that is not in DNS; an entry in the hosts file is found at once. */
const HOSTS_FILE_MS = 1_000;
const SEND_AT_MS = [0, 300, 1_000];

export interface StunAnswer {
  readonly v4?: { readonly mapped: AddrPort; readonly rttMs: number } | undefined;
  readonly v6?: { readonly mapped: AddrPort; readonly rttMs: number } | undefined;
  /** Set if no address family got an answer. */
  readonly error?: string;
}

/** Whether a node of the map offers STUN (negative ports say no). */
export function offersStun(node: Node): boolean {
  return node.stunPort >= 0 && node.stunPort <= 65_535;
}

/** Asks every node once; the result is by name. Takes no longer than `timeoutMs` and never rejects. */
export async function askStunServers(nodes: readonly Node[], timeoutMs: number): Promise<Map<string, StunAnswer>> {
  const answers = new Map<string, StunAnswer>();
  const asker = new Asker();
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  const deadline = setTimeout(() => {
    resolver.cancel();
    asker.stop();
  }, timeoutMs);
  try {
    await asker.open();
    await Promise.all(
      nodes.map(async (node) => {
        answers.set(node.name, await askNode(node, asker, resolver, timeoutMs));
      }),
    );
  } finally {
    clearTimeout(deadline);
    asker.stop();
  }
  return answers;
}

async function askNode(node: Node, asker: Asker, resolver: Resolver, timeoutMs: number): Promise<StunAnswer> {
  const port = node.stunPort === 0 ? DEFAULT_STUN_PORT : node.stunPort;
  const [v4, v6] = await Promise.all([
    asker.has4 ? askFamily(4, node, port, asker, resolver) : "this machine has no IPv4 socket",
    asker.has6 ? askFamily(6, node, port, asker, resolver) : "this machine has no IPv6",
  ]);
  if (typeof v4 !== "string" || typeof v6 !== "string") {
    return { v4: typeof v4 === "string" ? undefined : v4, v6: typeof v6 === "string" ? undefined : v6 };
  }
  const why = asker.has4 ? v4 : v6;
  return { error: why === "" ? `no answer from ${node.hostName}:${port} within ${timeoutMs / 1000} s` : why };
}

/** The answer, or why there is none; "" if nothing came. */
async function askFamily(
  family: 4 | 6,
  node: Node,
  port: number,
  asker: Asker,
  resolver: Resolver,
): Promise<{ mapped: AddrPort; rttMs: number } | string> {
  // A slow name lookup must not delay the report, and getaddrinfo cannot be cancelled.
  const address = await Promise.race([addressOf(family, node, resolver), asker.whenStopped]);
  if (address === undefined) return asker.stopped ? "" : `${node.hostName} has no IPv${family} address`;
  return (await asker.ask(family, address, port)) ?? "";
}

/** The address at which a node is asked: a literal, or its name's address; undefined if this family has none. */
async function addressOf(family: 4 | 6, node: Node, resolver: Resolver): Promise<string | undefined> {
  const fits = family === 4 ? isIPv4 : isIPv6;
  if (node.stunTestIp !== "") return fits(node.stunTestIp) ? node.stunTestIp : undefined;
  const literal = family === 4 ? node.ipv4 : node.ipv6;
  if (literal !== "") return fits(literal) ? literal : undefined;
  if (isIP(node.hostName) !== 0) return fits(node.hostName) ? node.hostName : undefined;
  try {
    return (await (family === 4 ? resolver.resolve4(node.hostName) : resolver.resolve6(node.hostName)))[0];
  } catch (error) {
    const code = nodeErrorCode(error) ?? "";
    if (code === "ETIMEOUT" || code === "ECANCELLED") return undefined;
  }
  // The name is not in DNS, but perhaps in the hosts file, which only getaddrinfo reads. It blocks a thread, so it is tried
  // second. If it finds nothing, the caller reports the missing address.
  return (await optionalNames.resolve(node.hostName, AbortSignal.timeout(HOSTS_FILE_MS))).find(fits);
}

interface Waiting {
  readonly sentAt: number;
  readonly timers: NodeJS.Timeout[];
  readonly settle: (answer: { mapped: AddrPort; rttMs: number } | undefined) => void;
}

class Asker {
  readonly #waiting = new Map<string, Waiting>();
  #socket4: Socket | undefined;
  #socket6: Socket | undefined;
  readonly #stop = Promise.withResolvers<undefined>();
  stopped = false;

  get whenStopped(): Promise<undefined> {
    return this.#stop.promise;
  }
  get has4(): boolean {
    return this.#socket4 !== undefined;
  }
  get has6(): boolean {
    return this.#socket6 !== undefined;
  }

  async open(): Promise<void> {
    const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
      (addresses ?? []).some((one) => one.family === "IPv6"),
    );
    [this.#socket4, this.#socket6] = await Promise.all([
      this.#bind("udp4"),
      hasIpv6 ? this.#bind("udp6") : Promise.resolve(undefined),
    ]);
  }

  /** Undefined if nothing arrived before stop(). */
  ask(family: 4 | 6, address: string, port: number): Promise<{ mapped: AddrPort; rttMs: number } | undefined> {
    const socket = family === 4 ? this.#socket4 : this.#socket6;
    return new Promise((resolve) => {
      if (socket === undefined || this.stopped) return resolve(undefined);
      const id = nodeRandom.bytes(TRANSACTION_ID_BYTES).slice();
      const request = encodeBindingRequest(id);
      const key = Buffer.from(id).toString("hex");
      const send = (): void => socket.send(request, port, address, () => undefined); // an error is a lost datagram
      this.#waiting.set(key, {
        sentAt: performance.now(),
        timers: SEND_AT_MS.map((ms) => setTimeout(send, ms)),
        settle: resolve,
      });
    });
  }

  /** Ends pending requests without an answer. Idempotent. */
  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.#stop.resolve(undefined);
    for (const key of [...this.#waiting.keys()]) this.#settle(key, undefined);
    this.#socket4?.close();
    this.#socket6?.close();
  }

  #bind(type: "udp4" | "udp6"): Promise<Socket | undefined> {
    return new Promise((resolve) => {
      const socket = createSocket({ type, ipv6Only: type === "udp6" });
      socket.on("error", () => resolve(undefined)); // no such family here
      socket.on("message", (datagram) => this.#received(datagram));
      socket.bind(0, () => resolve(socket));
    });
  }

  #received(datagram: Uint8Array): void {
    const response = parseBindingResponse(datagram);
    if (response !== undefined) {
      this.#settle(Buffer.from(transactionIdOf(datagram)).toString("hex"), response.mapped);
    }
  }

  #settle(key: string, mapped: AddrPort | undefined): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    for (const timer of waiting.timers) clearTimeout(timer);
    waiting.settle(mapped === undefined ? undefined : { mapped, rttMs: performance.now() - waiting.sentAt });
  }
}
