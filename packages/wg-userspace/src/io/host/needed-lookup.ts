/**
 * Addresses of names that a connection waits for: the deployment, its relays, a proxy. Other lookups that hang, such as those of
 * hosts that a browser reaches through the workspace, occupy the threads of the system's resolver until it gives up. In that case
 * the hosts file is used, and the name servers if it does not have the name. These do not know what else the system is configured
 * for, such as the resolver of a VPN, so they are used only if the system is late enough to be held up.
 */
import { lookup as systemLookup } from "node:dns";
import { readFile } from "node:fs/promises";
import { isIP, type LookupFunction } from "node:net";
import { onAbort } from "../../async/abort.ts";
import { askNameServers } from "./optional-names.ts";

/** A resolver that works answers much sooner; one whose name servers are away tries for ten seconds or more. */
const HELD_UP_MS = 4_000;
const HOSTS_FILE = "/etc/hosts";
const MAX_HOSTS_BYTES = 1024 * 1024;

interface Sources {
  readonly system: typeof systemLookup;
  /** Queried while the system is held up. Rejects when the name is not known, or at the signal. */
  readonly others: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
}

type Done = Parameters<LookupFunction>[2];

const PROCESS: Sources = { system: systemLookup, others: askOthers };

/** For the `lookup` option of a socket. Fails with the system's error. */
export function neededLookup(signal: AbortSignal, { system, others }: Sources = PROCESS): LookupFunction {
  return (name, options, done) => {
    const over = new AbortController();
    let answered = false;
    const slow = setTimeout(() => {
      others(name, over.signal).then(
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
    }, HELD_UP_MS);
    const end = (): void => {
      clearTimeout(slow);
      over.abort();
    };
    const unwatch = onAbort(signal, end);
    const answer = (...result: Parameters<Done>): void => {
      if (answered) return;
      answered = true;
      unwatch();
      end();
      done(...result);
    };
    system(name, options, (error, found, family) => answer(error, found, family));
  };
}

async function askOthers(name: string, signal: AbortSignal): Promise<readonly string[]> {
  const listed = addressesIn(await readFile(HOSTS_FILE, { encoding: "utf8", signal }).catch(() => ""), name);
  // A name that belongs to this network alone must not go to name servers.
  if (listed.length > 0 || !name.includes(".") || name.endsWith(".local")) return listed;
  return await askNameServers(name, signal);
}

/** The addresses of a name in a hosts file (hosts(5)). */
export function addressesIn(hosts: string, name: string): string[] {
  const wanted = name.toLowerCase();
  const found: string[] = [];
  for (const line of hosts.slice(0, MAX_HOSTS_BYTES).split("\n")) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (isIP(address) !== 0 && names.some((one) => one.toLowerCase() === wanted)) found.push(address);
  }
  return found;
}
