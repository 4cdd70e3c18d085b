/** Addresses that a declared app may have, and what their parts mean. */

/** Ports of the tunnel below this one belong to the agent's own services. */
export const LOWEST_APP_PORT = 9;

/** A strict form, so that no two parsers take the same text for two addresses. */
const LOCAL =
  /^(https?):\/\/(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::([0-9]{1,5}))?(\/[\x21\x22\x24-\x3e\x40-\x7e]*)?(\?[\x21\x22\x24-\x7e]*)?$/;
export const HIGHEST_PORT = 65_535;

/** What an external app may open on the client besides web pages: editors. */
const EDITOR_SCHEMES: ReadonlySet<string> = new Set([
  "vscode:",
  "vscode-insiders:",
  "cursor:",
  "windsurf:",
  "zed:",
  "jetbrains:",
  "jetbrains-gateway:",
]);

/** Where a program listens on its own machine. */
export interface LocalAddress {
  readonly port: number;
  /** Whether the program speaks https. */
  readonly secure: boolean;
  /** Precedes every path, without a slash at the end; "" for most. */
  readonly basePath: string;
  /** With its question mark; "" without one. */
  readonly query: string;
}

/**
 * The program at an address of the workspace's own machine, or what is wrong with the address, as the rest of a
 * sentence.
 */
export function parseLocalAddress(text: string): LocalAddress | { readonly error: string } {
  const match = LOCAL.exec(text);
  if (match === null)
    return { error: "must be an address of the workspace itself, such as http://localhost:8080, without a #fragment" };
  const [, scheme, digits, path = "", query = ""] = match;
  const secure = scheme === "https";
  const port = digits === undefined ? (secure ? 443 : 80) : Number(digits);
  if (port < LOWEST_APP_PORT) return { error: `has the port ${port}; ports below ${LOWEST_APP_PORT} are reserved` };
  if (port > HIGHEST_PORT) return { error: `has the port ${port}, which does not exist` };
  return { port, secure, basePath: path.replace(/\/+$/, ""), query };
}

const WEB_PAGE = /^https:\/\/[A-Za-z0-9.:[\]-]+(?:[/?#]|$)/;

/** Why an external app may not have this address, as the rest of a sentence; undefined when it may. */
export function externalAddressProblem(text: string): string | undefined {
  const scheme = /^[a-z][a-z0-9+.-]*:/.exec(text)?.[0];
  if (scheme === undefined || /[^\x21-\x7e]/.test(text)) return "is no URL";
  if (EDITOR_SCHEMES.has(scheme)) return undefined;
  if (scheme !== "https:")
    return `must begin with https: or the scheme of an editor (${[...EDITOR_SCHEMES].join(" ")})`;
  return WEB_PAGE.test(text) ? undefined : "must have a host, and no user name";
}

const MAX_ICON_BYTES = 16 * 1024;
const OWN_ICON = /^\/icon\/[a-zA-Z0-9][a-zA-Z0-9_-]*\.svg$/;
const DATA_ICON = /^data:image\/(?:png|webp|svg\+xml)(?:;[a-z0-9=-]+)*,[\x21-\x7e]*$/;

/** Why this may not be an icon, as the rest of a sentence; undefined when it may be, or is empty. */
export function iconProblem(text: string): string | undefined {
  if (text === "" || OWN_ICON.test(text)) return undefined;
  if (!DATA_ICON.test(text)) return "must be /icon/NAME.svg or a data: URL of a PNG, WebP or SVG image";
  return text.length > MAX_ICON_BYTES ? `must have at most ${MAX_ICON_BYTES} bytes` : undefined;
}

/** The address of a health check that is given as a path of the app, or as a URL. */
export function healthAddress(appUrl: string, health: string): string {
  if (!health.startsWith("/")) return health;
  return `${/^[a-z]+:\/\/[^/?#]*/.exec(appUrl)?.[0] ?? ""}${health}`;
}
