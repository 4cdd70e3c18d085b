/** Security headers of the dashboard's answers. */

/** Of a page. `nonce` is new for each answer; `connect` has this host as an origin of WebSockets, and the relays. */
export function pagePolicy({ nonce, connect }: { nonce: string; connect: readonly string[] }): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src ${["'self'", ...connect].join(" ")}`,
    "worker-src 'self'",
    "manifest-src 'self'",
    "form-action 'self'",
    "frame-src 'none'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "object-src 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types coder",
    `report-uri ${REPORTS_PATH}`,
  ].join("; ");
}

export const REPORTS_PATH = "/api/v2/csp/reports";

/** Of everything that is no page: a script that runs as a worker has no policy but that of its own answer. */
export const ASSET_POLICY = "default-src 'none'; frame-ancestors 'none'";

/** Of a script that runs as a worker: it may ask its own server, and load nothing. */
export function workerPolicy(socketOrigin: string): string {
  return `default-src 'none'; connect-src 'self' ${socketOrigin}; frame-ancestors 'none'`;
}

/** Of the worker with a tunnel of its own: the only place where WebAssembly is compiled. It reaches the relays besides. */
export function tunnelWorkerPolicy(socketOrigin: string, relayOrigins: readonly string[]): string {
  const reached = ["'self'", socketOrigin, ...relayOrigins].join(" ");
  return `default-src 'none'; script-src 'wasm-unsafe-eval'; connect-src ${reached}; frame-ancestors 'none'`;
}

/** Of every page, besides the policy. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Referrer-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Origin-Agent-Cluster": "?1",
  "Permissions-Policy":
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), clipboard-read=(self), clipboard-write=(self)",
};
