import { EngineError } from "../base/errors.ts";
import { type IpAddress, ipEqual } from "../base/ip.ts";

/** RFC 6056 §3.2 prefers the whole range; the registered ports below are left to listeners. */
const EPHEMERAL_FIRST = 32768;
const EPHEMERAL_COUNT = 65536 - EPHEMERAL_FIRST;

interface Binding {
  readonly port: number;
  /** Undefined for any of the host's addresses. */
  readonly address: IpAddress | undefined;
}

/** The sockets or listeners of one protocol, by port. */
export class PortBindings<T extends Binding> {
  readonly #inUse: (port: number) => string;
  readonly #byPort = new Map<number, readonly T[]>();
  #size = 0;

  /** @param inUse The error's text for a port that is taken. */
  constructor(inUse: (port: number) => string) {
    this.#inUse = inUse;
  }

  get size(): number {
    return this.#size;
  }

  has(port: number): boolean {
    return this.#byPort.has(port);
  }

  /**
   * A binding to any address and one to a certain address share a port; two to the same do not.
   * @throws EngineError ERR_ADDRESS_IN_USE.
   */
  check(port: number, address: IpAddress | undefined): void {
    const others = this.#byPort.get(port) ?? [];
    if (others.some((other) => isSame(other.address, address)))
      throw new EngineError("ERR_ADDRESS_IN_USE", this.#inUse(port));
  }

  add(binding: T): void {
    this.#byPort.set(binding.port, [...(this.#byPort.get(binding.port) ?? []), binding]);
    this.#size++;
  }

  /** Does nothing for an unknown binding. */
  remove(binding: T): void {
    const bound = this.#byPort.get(binding.port);
    if (bound === undefined || !bound.includes(binding)) return;
    const rest = bound.filter((other) => other !== binding);
    if (rest.length === 0) this.#byPort.delete(binding.port);
    else this.#byPort.set(binding.port, rest);
    this.#size--;
  }

  /** The one bound to exactly this address, else the one bound to any. */
  find(port: number, address: IpAddress): T | undefined {
    const bound = this.#byPort.get(port);
    if (bound === undefined) return undefined;
    let any: T | undefined;
    for (const candidate of bound) {
      if (candidate.address === undefined) any = candidate;
      else if (ipEqual(candidate.address, address)) return candidate;
    }
    return any;
  }
}

/** @throws EngineError ERR_INVALID_ARGUMENT. */
export function checkPort(port: number, lowest: 0 | 1): void {
  if (Number.isInteger(port) && port >= lowest && port <= 65535) return;
  throw new EngineError("ERR_INVALID_ARGUMENT", `port ${port} is not between ${lowest} and 65535`);
}

function isSame(a: IpAddress | undefined, b: IpAddress | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return ipEqual(a, b);
}

/**
 * An ephemeral port, the first free one after a random start (RFC 6056 §3.3.1); undefined if all are taken.
 * @param random 32 random bits.
 */
export function ephemeralPort(random: number, isTaken: (port: number) => boolean): number | undefined {
  for (let i = 0; i < EPHEMERAL_COUNT; i++) {
    const port = EPHEMERAL_FIRST + ((random + i) % EPHEMERAL_COUNT);
    if (!isTaken(port)) return port;
  }
  return undefined;
}
