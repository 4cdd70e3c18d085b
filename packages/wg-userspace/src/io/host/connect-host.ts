/**
 * TCP connections to hosts with several addresses (RFC 8305). Node's own `autoSelectFamily` gives up each address but the last
 * after 250 ms: where a round trip takes longer, a machine without IPv6 never reached a host that has both kinds of addresses.
 */
import type { LookupAddress } from "node:dns";
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from "node:net";
import { abortable } from "../../async/abort.ts";
import { systemName } from "./local-names.ts";

/** The next address is tried beside the earlier ones when those have not answered within this time. */
const NEXT_AFTER_MS = 250;
/** Further addresses are not tried. */
const MAX_ADDRESSES = 16;

export interface ConnectHostOptions {
  readonly host: string;
  readonly port: number;
  readonly lookup: LookupFunction;
  readonly signal: AbortSignal;
  readonly connect?: (options: { readonly host: string; readonly port: number; readonly noDelay: true }) => Socket;
}

/**
 * Resolves with the first connection that is established. Rejects with the error of the look-up, with that of the only address,
 * with an AggregateError of all of them, or with `signal.reason`.
 */
export async function connectHost(options: ConnectHostOptions): Promise<Socket> {
  const { host, signal } = options;
  const addresses = isIP(host) === 0 ? await addressesOf(options) : [host];
  return await abortable<Socket>(signal, (resolve, reject) => {
    const race = new Race(addresses, options, resolve, reject);
    return () => race.end();
  });
}

/** Both families in turn, beginning with that of the first address. */
async function addressesOf({ host, lookup, signal }: ConnectHostOptions): Promise<string[]> {
  const found = await abortable<LookupAddress[]>(signal, (resolve, reject) => {
    lookup(systemName(host), { all: true }, (error, addresses) => {
      if (error !== null) reject(error);
      else resolve(addresses as LookupAddress[]);
    });
    return undefined;
  });
  const first = found.filter(({ family }) => family === found[0]?.family);
  const second = found.filter((address) => !first.includes(address));
  const inTurn = found.flatMap((_, i) => [first[i], second[i]]).flatMap((one) => one?.address ?? []);
  return [...new Set(inTurn)].slice(0, MAX_ADDRESSES);
}

class Race {
  readonly #waiting: string[];
  readonly #options: ConnectHostOptions;
  readonly #won: (socket: Socket) => void;
  readonly #lost: (error: unknown) => void;
  readonly #attempts = new Set<Socket>();
  readonly #errors: unknown[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(
    addresses: readonly string[],
    options: ConnectHostOptions,
    won: (socket: Socket) => void,
    lost: (error: unknown) => void,
  ) {
    this.#waiting = [...addresses];
    this.#options = options;
    this.#won = won;
    this.#lost = lost;
    if (addresses.length === 0) lost(Object.assign(new Error("no address"), { code: "ENOTFOUND" }));
    else this.#begin();
  }

  /** Ends all attempts but one that has won. */
  end(): void {
    clearTimeout(this.#timer);
    for (const socket of this.#attempts) {
      socket.on("error", () => undefined); // the outcome is decided
      socket.destroy();
    }
    this.#attempts.clear();
  }

  #begin(): void {
    clearTimeout(this.#timer);
    const { port, connect = connectTcp } = this.#options;
    const socket = connect({ host: this.#waiting.shift()!, port, noDelay: true });
    this.#attempts.add(socket);
    const failed = (error: unknown): void => this.#failed(socket, error);
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      this.#attempts.delete(socket);
      this.#won(socket);
    });
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#begin(), NEXT_AFTER_MS);
  }

  #failed(socket: Socket, error: unknown): void {
    if (!this.#attempts.delete(socket)) return;
    this.#errors.push(error);
    if (this.#waiting.length > 0) this.#begin();
    else if (this.#attempts.size === 0)
      this.#lost(this.#errors.length === 1 ? error : new AggregateError(this.#errors, "no address answered"));
  }
}
