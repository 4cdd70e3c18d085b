/** Names below `localhost` mean this machine (RFC 6761 §6.3). Many system resolvers know `localhost` alone. */
const BELOW = /^(?:[^.]+\.)+localhost\.?$/i;

/** Whether a name is one below `localhost`, such as `coder.localhost`. */
export function isBelowLocalhost(name: string): boolean {
  return BELOW.test(name);
}

/** What to ask the system for instead of a name: `localhost` for names below it, the name itself for all others. */
export function systemName(name: string): string {
  return isBelowLocalhost(name) ? "localhost" : name;
}
