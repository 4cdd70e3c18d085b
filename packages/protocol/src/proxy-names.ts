/** Names of workspace proxies where the relay map and the REST API meet. */

/** Name of the deployment itself in lists of proxies; no proxy can have it. */
export const PRIMARY_PROXY_NAME = "primary";

/** Code of a proxy's region in the relay map. */
export function proxyRegionCode(name: string): string {
  return `coder_${name.toLowerCase()}`;
}
