/** Section `wildcard`: whether browsers reach the host names of web apps, and how well apps are separated from the deployment. */
import type { Dialer } from "coder-client/dial/dialer";
import { isBelowLocalhost } from "wg-userspace/io/host/local-names";
import { nodeErrorCode } from "../base/errors.ts";
import { isLoopback } from "../base/listen-address.ts";
import { fetchText } from "../base/outgoing.ts";
import { type Wildcard, wildcardOrigin } from "../base/wildcard.ts";
import { fails, message, reasonOf, type Section, works } from "./section.ts";

const CHECK_TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Not the name of an app: the server itself answers it. */
const PROBE_LABEL = "coder-health";
const UNRESOLVED: ReadonlySet<string> = new Set(["ENOTFOUND", "EAI_AGAIN", "ERR_NAME_NOT_FOUND"]);

export interface WildcardSection extends Section {
  /** As configured; empty if not set. */
  readonly wildcard_access_url: string;
}

/** @param browserUrl Where browsers reach the server. */
export async function checkWildcard(
  wildcard: Wildcard | undefined,
  browserUrl: URL,
  dialer: Dialer,
): Promise<WildcardSection> {
  const shared = cookieWarnings(browserUrl);
  if (wildcard === undefined) return { ...works(shared), wildcard_access_url: "" };
  const found = { wildcard_access_url: wildcard.pattern };
  const url = new URL("/", wildcardOrigin(wildcard, PROBE_LABEL, browserUrl));
  try {
    const { status, text } = await fetchText(dialer, url, {
      maxBytes: MAX_ANSWER_BYTES,
      signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
    });
    if (status !== 400 || !text.includes("Invalid Application URL"))
      return {
        ...fails("EWILD02", `${url.origin} is answered by something else, with the status ${status}`),
        ...found,
      };
  } catch (error) {
    const code = nodeErrorCode(error) ?? (error instanceof Error ? nodeErrorCode(error.cause) : undefined) ?? "";
    const failed = UNRESOLVED.has(code)
      ? fails("EWILD03", `the name ${url.hostname} has no address: add a DNS record for ${wildcard.pattern}`)
      : fails("EWILD02", `cannot reach ${url.origin}: ${reasonOf(error)}`);
    return { ...failed, ...found };
  }
  return { ...works([...shared, ...(await siteWarnings(wildcard, browserUrl))]), ...found };
}

/** Cookies ignore the port, so those of this host reach every program that listens on the browser's machine. */
export function cookieWarnings(browserUrl: URL) {
  const host = browserUrl.hostname.replace(/^\[|\]$/g, "");
  if (!isLoopback(host)) return [];
  return [
    message(
      "ECOOK01",
      `The access URL is at ${host}: programs that a developer forwards to that host receive the session cookie. Use a name such ` +
        "as coder.localhost, which leads to this machine as well",
    ),
  ];
}

/** To a browser, pages of apps and of the deployment are one site if they share a registrable domain. */
export async function siteWarnings(wildcard: Wildcard, browserUrl: URL) {
  if (isBelowLocalhost(browserUrl.hostname)) return [];
  const apps = await siteOf(wildcard.suffix.replace(/^[.-]/, ""));
  if (apps !== (await siteOf(browserUrl.hostname))) return [];
  return [
    message(
      "EWILD01",
      `The apps of ${wildcard.pattern} and the deployment are one site (${apps}): browsers let their pages set cookies for each ` +
        "other. A domain of its own for the apps is the safer choice",
    ),
  ];
}

/**
 * What browsers treat as one site: the registrable domain by the public suffix list, including the suffixes under which companies
 * give names to their customers. A public suffix itself is a site of its own. Below a top-level name that is not in the list,
 * such as one of a private network, the last two labels are the site.
 */
async function siteOf(hostname: string): Promise<string> {
  // The list is large, so it is loaded only where it is used.
  const { getDomain } = await import("tldts");
  return getDomain(hostname, { allowPrivateDomains: true }) ?? hostname.toLowerCase();
}
