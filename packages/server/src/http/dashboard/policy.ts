/** Security headers of the dashboard's answers. */

/**
 * Sources for a `connect-src`. No policy can name an IPv6 literal (CSP 3, §2.3.1), and browsers complain about one. They count a
 * page's own WebSockets to 'self'; relays and proxies with such an address are out of the reach of pages.
 */
function connectSources(origins: readonly string[]): string {
  return ["'self'", ...origins.filter((origin) => origin !== "" && !origin.includes("["))].join(" ");
}

/** The policy of a page. `nonce` is new for each answer; `connect` contains this host as a WebSocket origin, and the relays. */
export function pagePolicy({ nonce, connect }: { nonce: string; connect: readonly string[] }): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src ${connectSources(connect)}`,
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

/** The policy of every file that is not a page. A script that runs as a worker has only the policy of its own answer. */
export const ASSET_POLICY = "default-src 'none'; frame-ancestors 'none'";

/** The policy of a script that runs as a worker: it may connect to its own server and load nothing. */
export function workerPolicy(socketOrigin: string): string {
  return `default-src 'none'; connect-src ${connectSources([socketOrigin])}; frame-ancestors 'none'`;
}

/**
 * The policy of the worker that has its own tunnel, the only place where WebAssembly is compiled. It may also connect to the
 * relays.
 */
export function tunnelWorkerPolicy(socketOrigin: string, relayOrigins: readonly string[]): string {
  const reached = connectSources([socketOrigin, ...relayOrigins]);
  return `default-src 'none'; script-src 'wasm-unsafe-eval'; connect-src ${reached}; frame-ancestors 'none'`;
}

/** Headers of every page in addition to the policy. */
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
