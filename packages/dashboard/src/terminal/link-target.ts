/** Where a link of the terminal's output leads. */
export type LinkTarget =
  | { readonly kind: "outside"; readonly url: URL }
  /** A program of the workspace: this browser's own localhost is another machine. */
  | { readonly kind: "workspace-port"; readonly port: number; readonly url: URL };

const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const MAX_LENGTH = 4_096;

/** Undefined for everything that is not opened: other schemes, text that is no URL. */
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

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "0.0.0.0" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host);
}
