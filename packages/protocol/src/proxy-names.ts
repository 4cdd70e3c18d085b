/** Names of workspace proxies that the relay map and the REST API share. */

/** Name of the deployment itself in lists of proxies; no proxy can have it. */
export const PRIMARY_PROXY_NAME = "primary";

/** Code of a proxy's region in the relay map. */
export function proxyRegionCode(name: string): string {
  return `coder_${name.toLowerCase()}`;
}

const MAX_LENGTH = 32;

/** What is wrong with the name of a proxy, as "must …"; undefined when it is valid. */
export function proxyNameFault(name: string): string | undefined {
  if (name === "") return "must not be empty";
  if (name.length > MAX_LENGTH) return `must have at most ${MAX_LENGTH} characters`;
  if (!/^[a-z0-9-]+$/.test(name)) return "must consist of lower-case letters, digits and hyphens";
  return undefined;
}
