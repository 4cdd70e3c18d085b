/** Versions of the Agent and Tailnet API, `major.minor` (docs/protocols/coordination.md). */

/**
 * The newest version, announced by our control plane. Later calls are known by name or not at all, and answered as
 * unimplemented, which agents accept.
 */
export const AGENT_API_VERSION = "2.14";
/**
 * The version that our agent requests: the oldest with every call that it needs, so that any server of that version or
 * newer accepts it. Later calls are tried, and skipped where they are unimplemented.
 */
export const AGENT_NEEDED_VERSION = "2.1";
/**
 * The version that a client requests; resume tokens, which came later, are tried in addition and may be unimplemented.
 */
export const TAILNET_API_VERSION = "2.0";
/** A request on `/coordinate` or `/tailnet` that names no version means this one, which is no longer served. */
export const MISSING_TAILNET_VERSION = "1.0";
/** The meaning of an agent's request without a version. */
export const MISSING_AGENT_VERSION = "2.0";

export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
}

/** Undefined for anything but two decimal numbers. */
export function parseVersion(text: string): ApiVersion | undefined {
  const match = /^(\d{1,6})\.(\d{1,6})$/.exec(text);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) };
}

/**
 * Whether a server that speaks `own` serves a client that requests `requested`; `detail` says in one sentence why not. A later
 * minor only adds calls and fields. Agents and clients request the newest version that they know and do not fall back, so they
 * are served as far as `own` goes.
 */
export function checkVersion(
  requested: string,
  own: string = AGENT_API_VERSION,
): { readonly ok: true; readonly version: ApiVersion } | { readonly ok: false; readonly detail: string } {
  const wanted = parseVersion(requested);
  const served = parseVersion(own);
  if (served === undefined) throw new TypeError(`not a version: "${own}"`);
  if (wanted === undefined)
    return { ok: false, detail: `"${requested.slice(0, 32)}" is not a version: want major.minor, such as ${own}` };
  if (wanted.major !== served.major) {
    return { ok: false, detail: `version ${requested} is not served: this server speaks ${served.major}.0 to ${own}` };
  }
  return { ok: true, version: wanted.minor > served.minor ? served : wanted };
}

/**
 * What every part of this build calls itself: the release whose REST and agent API it speaks, which stock counterparts
 * compare by major.minor, and our own version as build metadata.
 */
export const BUILD_VERSION = "v2.26.0+network.0.1.0";
