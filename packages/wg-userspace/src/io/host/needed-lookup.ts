/**
 * Addresses of names that a connection waits for: the deployment, its relays, a proxy. Lookups of others that hang, such as
 * those of hosts that a browser reaches through the workspace, hold the threads of the system's resolver for as long as
 * it tries; then the answer of the name servers counts.
 */
import { lookup as systemLookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { onAbort } from "../../async/abort.ts";
import { askNameServers, type OptionalNamesOptions, SLOW_MS } from "./optional-names.ts";

interface Sources {
  readonly system: typeof systemLookup;
  readonly nameServers: OptionalNamesOptions["nameServers"];
}

type Done = Parameters<LookupFunction>[2];

const PROCESS: Sources = { system: systemLookup, nameServers: askNameServers };

/** For the `lookup` option of a socket. Fails with what the system says. */
export function neededLookup(signal: AbortSignal, { system, nameServers }: Sources = PROCESS): LookupFunction {
  return (name, options, done) => {
    const over = new AbortController();
    const unwatch = onAbort(signal, () => over.abort());
    let answered = false;
    const answer = (...result: Parameters<Done>): void => {
      if (answered) return;
      answered = true;
      clearTimeout(slow);
      unwatch();
      over.abort();
      done(...result);
    };
    const slow = setTimeout(() => {
      nameServers(name, over.signal).then(
        (addresses) => {
          const found = addresses
            .map((address) => ({ address, family: isIP(address) }))
            .filter(({ family }) => !options.family || options.family === family);
          const [first] = found;
          if (first === undefined) return; // the system may still know it
          if (options.all === true) answer(null, found);
          else answer(null, first.address, first.family);
        },
        () => undefined, // the system may still know it
      );
    }, SLOW_MS);
    system(name, options, (error, found, family) => answer(error, found, family));
  };
}
