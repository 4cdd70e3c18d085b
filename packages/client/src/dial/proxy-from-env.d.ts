/** The package ships no types. Returns the proxy's URL for a request URL, from the usual variables, or "" for none. */
declare module "proxy-from-env" {
  export function getProxyForUrl(url: string): string;
}
