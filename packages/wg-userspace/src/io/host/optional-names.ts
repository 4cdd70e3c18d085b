/**
 * Addresses of names that nothing must wait for, such as those of public STUN servers. The system resolver runs on two threads
 * for the whole process, and a lookup that hangs cannot be cancelled. Optional names get one thread, one name after the other, so
 * that needed names find the other thread free.
 */

import { promises as dns } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { onAbort } from "../../async/abort.ts";
import { isBelowLocalhost } from "./local-names.ts";

/** If the system has not answered within this time, name servers are queried directly for all names at once. */
const SLOW_MS = 1_000;
const DNS_TIMEOUT_MS = 2_000;
/** Upper limit of waiting names; a further one is not resolved. */
const MAX_WAITING = 256;
/** Addresses used per name and family. */
const MAX_PER_FAMILY = 2;

export interface OptionalNamesOptions {
  /** The system's resolver: it knows the hosts file and what the organisation set up. Cannot be cancelled. */
  readonly system: (name: string) => Promise<readonly string[]>;
  /** Name servers alone. Rejects when they do not know the name, do not answer, or at the signal. */
  readonly nameServers: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
  readonly slowMs?: number;
}

interface Wanted {
  readonly name: string;
  readonly answer: (addresses: readonly string[]) => void;
}

export class OptionalNames {
  readonly #options: OptionalNamesOptions;
  readonly #waiting = new Set<Wanted>();
  #busy = false;

  constructor(options: OptionalNamesOptions) {
    this.#options = options;
  }

  /** Empty when the name has no address, or none was found before the signal. Never rejects. */
  async resolve(name: string, signal: AbortSignal): Promise<readonly string[]> {
    if (isIP(name) !== 0) return [name];
    // Names below localhost never go to a name server.
    if (isBelowLocalhost(name)) return ["127.0.0.1", "::1"];
    if (signal.aborted || this.#waiting.size >= MAX_WAITING) return [];
    const { promise, resolve } = Promise.withResolvers<readonly string[]>();
    const wanted: Wanted = { name, answer: resolve };
    const over = new AbortController();
    const unwatch = onAbort(signal, () => resolve([]));
    const slow = setTimeout(() => {
      this.#options.nameServers(name, over.signal).then(
        (addresses) => {
          if (addresses.length > 0) resolve(addresses);
        },
        () => undefined, // the system may still know it
      );
    }, this.#options.slowMs ?? SLOW_MS);
    this.#waiting.add(wanted);
    this.#next();
    try {
      return limited(await promise);
    } finally {
      clearTimeout(slow);
      over.abort();
      unwatch();
      this.#waiting.delete(wanted);
    }
  }

  #next(): void {
    const [first] = this.#waiting;
    if (this.#busy || first === undefined) return;
    this.#busy = true;
    void this.#options
      .system(first.name)
      .catch(() => []) // it has no address here
      .then((addresses) => {
        this.#busy = false;
        for (const wanted of [...this.#waiting]) {
          if (wanted.name !== first.name) continue;
          this.#waiting.delete(wanted);
          wanted.answer(addresses);
        }
        this.#next();
      });
  }
}

function limited(addresses: readonly string[]): readonly string[] {
  return [4, 6].flatMap((family) => addresses.filter((text) => isIP(text) === family).slice(0, MAX_PER_FAMILY));
}

/** The resolver of this process; it is shared because the system's threads are. */
export const optionalNames = new OptionalNames({
  system: async (name) => (await dns.lookup(name, { all: true })).map(({ address }) => address),
  nameServers: askNameServers,
});

/** Addresses by the name servers of the machine alone. Rejects when they do not know the name or do not answer, or at the signal. */
export async function askNameServers(name: string, signal: AbortSignal): Promise<readonly string[]> {
  const resolver = new dns.Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 });
  const unwatch = onAbort(signal, () => resolver.cancel());
  try {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    return answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  } finally {
    unwatch();
  }
}

/** For the `lookup` option of a socket that must hold up nothing else. */
export function optionalLookup(signal: AbortSignal): LookupFunction {
  return (name, options, done) => {
    void optionalNames.resolve(name, signal).then((addresses) => {
      const found = addresses.map((address) => ({ address, family: isIP(address) }));
      const [first] = found;
      if (first === undefined) {
        done(Object.assign(new Error(`${name} was not resolved`), { code: "ENOTFOUND" }), []);
      } else if (options.all === true) done(null, found);
      else done(null, first.address, first.family);
    });
  };
}
