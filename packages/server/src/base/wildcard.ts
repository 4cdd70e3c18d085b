/**
 * The wildcard access URL: the host names of workspace apps. `*.apps.example.com` or `*-apps.example.com`, with an optional
 * port. The star stands for one DNS label or the beginning of one.
 */
const PATTERN =
  /^\*([.-](?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)(?::([0-9]{1,5}))?$/;

export interface Wildcard {
  /** The pattern in lower case. */
  readonly pattern: string;
  /** The part after the star, without the port: `.apps.example.com`. */
  readonly suffix: string;
  /** Undefined: the port of the access URL. */
  readonly port: number | undefined;
}

/** Parses the wildcard, or returns what is wrong with it as the rest of a sentence that begins with the name of the flag. */
export function parseWildcard(text: string): Wildcard | { readonly error: string } {
  const match = PATTERN.exec(text.toLowerCase());
  if (match === null)
    return {
      error: `must begin with "*." or "*-", hold no other "*" and be a host name with an optional port, got "${text}"`,
    };
  const [pattern, suffix = "", digits] = match;
  // Browsers keep no cookies for a top-level name. `localhost` is one, but a name below it works.
  if (
    suffix.split(".").filter((label) => label !== "").length < (suffix.startsWith(".") ? 2 : 1) ||
    !suffix.includes(".")
  )
    return { error: `must have at least two labels after the "*", such as *.apps.example.com, got "${text}"` };
  const port = digits === undefined ? undefined : Number(digits);
  if (port !== undefined && (port < 1 || port > 65_535)) return { error: `has a port out of range, got "${text}"` };
  return { pattern, suffix, port };
}

/** The label in the place of the star; undefined for hosts that do not match. The host name is in lower case and has no port. */
export function wildcardLabel(wildcard: Wildcard, hostname: string): string | undefined {
  if (!hostname.endsWith(wildcard.suffix)) return undefined;
  const label = hostname.slice(0, -wildcard.suffix.length);
  return label === "" || label.includes(".") ? undefined : label;
}

/** The origin of an app, with the scheme of the access URL, and its port unless the pattern has one. */
export function wildcardOrigin(wildcard: Wildcard, label: string, accessUrl: URL): string {
  const port = wildcard.port === undefined ? accessUrl.port : String(wildcard.port);
  return new URL(`${accessUrl.protocol}//${label}${wildcard.suffix}${port === "" ? "" : `:${port}`}`).origin;
}

/** The pattern with its effective port, as clients are shown it. */
export function wildcardHost(wildcard: Wildcard, accessUrl: URL): string {
  return wildcard.port === undefined && accessUrl.port !== ""
    ? `${wildcard.pattern}:${accessUrl.port}`
    : wildcard.pattern;
}
