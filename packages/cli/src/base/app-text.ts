/** An app given as one command-line argument: `slug=code,url=http://127.0.0.1:8080,name=VS Code,share=owner,health=/healthz`. */
import { healthAddress } from "coder-protocol/app-addresses";

const HEALTH_INTERVAL_SECONDS = 10;
const HEALTH_THRESHOLD = 6;
const KEYS = ["slug", "url", "name", "icon", "share", "health", "command", "group", "host-header"] as const;
type Key = (typeof KEYS)[number];
/** A comma separates only before a key: addresses contain commas and equals signs too. */
const SEPARATOR = new RegExp(`,(?=(?:${KEYS.join("|")})=)`);

/** The properties of an app, as written on the command line. */
export interface AppWords {
  readonly url?: string | undefined;
  readonly name?: string | undefined;
  readonly icon?: string | undefined;
  readonly share?: string | undefined;
  /** A path of the app, or an address. Empty turns the check off. */
  readonly health?: string | undefined;
  readonly command?: string | undefined;
  readonly group?: string | undefined;
  readonly hostHeader?: string | undefined;
}

/** The app as the API expects it, or `error`: what is wrong, worded to end a sentence. */
export function parseAppText(text: string): Readonly<Record<string, unknown>> {
  const found = new Map<Key, string>();
  for (const part of text.split(SEPARATOR)) {
    const equals = part.indexOf("=");
    const key = KEYS.find((candidate) => candidate === part.slice(0, Math.max(0, equals)));
    if (key === undefined) return { error: `holds "${part}"; it takes ${KEYS.map((known) => `${known}=`).join(", ")}` };
    if (found.has(key)) return { error: `holds ${key}= twice` };
    found.set(key, part.slice(equals + 1).replace(/^"(.*)"$/, "$1"));
  }
  const slug = found.get("slug");
  if (slug === undefined) return { error: "holds no slug=" };
  const { "host-header": hostHeader, ...words } = Object.fromEntries(found);
  return { slug, ...appBody({ ...words, hostHeader }, words["url"]) };
}

/**
 * Converts the words to fields of the API; fields that were not given are left out.
 *
 * @param url The app's address, for a health check that is given as a path.
 */
export function appBody(words: AppWords, url: string | undefined): Record<string, unknown> {
  const fields = {
    url: words.url,
    display_name: words.name,
    icon: words.icon,
    sharing_level: words.share,
    command: words.command,
    group: words.group,
    host_header: words.hostHeader,
    healthcheck: words.health === undefined ? undefined : healthcheck(words.health, url ?? ""),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function healthcheck(health: string, url: string) {
  if (health === "") return { url: "", interval: 0, threshold: 0 };
  return { url: healthAddress(url, health), interval: HEALTH_INTERVAL_SECONDS, threshold: HEALTH_THRESHOLD };
}
