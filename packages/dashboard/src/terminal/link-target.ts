/** Where a link in the terminal's output leads. */
export type LinkTarget =
  | { readonly kind: "outside"; readonly url: URL }
  /** A program in the workspace: localhost in the output does not mean the browser's machine. */
  | { readonly kind: "workspace-port"; readonly port: number; readonly url: URL };

const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const MAX_LENGTH = 4_096;

/** Undefined for everything that is not opened: other schemes, and text that is no URL. */
export function linkTarget(text: string): LinkTarget | undefined {
  if (text.length > MAX_LENGTH || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (!SCHEMES.has(url.protocol)) return undefined;
  if (url.protocol !== "mailto:" && isLoopback(url.hostname)) {
    const standard = url.protocol === "https:" ? 443 : 80;
    return { kind: "workspace-port", port: url.port === "" ? standard : Number(url.port), url };
  }
  return { kind: "outside", url };
}

/** Where the browser reaches an agent's programs. */
export interface AppPlace {
  /** A host with a port, in which `*` stands for an app's label; empty when the deployment serves no apps. */
  readonly host: string;
  readonly agent: string;
  readonly workspace: string;
  readonly owner: string;
}

const LOWEST_PORT = 9;
/** RFC 1035 §2.3.4. */
const MAX_LABEL = 63;

/** The address of the same page as an app of the deployment; undefined if it cannot be one. */
export function appAddress(port: number, url: URL, place: AppPlace, scheme: string): URL | undefined {
  const what = `${port}${url.protocol === "https:" ? "s" : ""}`;
  const label = [what, place.agent, place.workspace, place.owner].join("--").toLowerCase();
  if (!place.host.startsWith("*") || port < LOWEST_PORT || label.length > MAX_LABEL) return undefined;
  const found = URL.parse(`${scheme}//${label}${place.host.slice(1)}${url.pathname}${url.search}`);
  return found ?? undefined;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "0.0.0.0" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host);
}
