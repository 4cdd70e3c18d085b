/** Names that lead to apps: the label of a host name, and the address from which programs in a workspace build links. */
import { type Wildcard, wildcardOrigin } from "./wildcard.ts";

/** Octets of a DNS label (RFC 1035 §2.3.4). */
export const MAX_LABEL = 63;
const LONGEST_PORT = "65535s";

/** An agent by its three names, and the alias that stands for all of them. */
export interface AppPlaceNames {
  readonly agent: string;
  readonly workspace: string;
  readonly owner: string;
  readonly alias: string;
}

/** The label of an app: with the names if they fit, and otherwise with the alias. Both lead to the app. */
export function appLabel(what: string, place: AppPlaceNames): string {
  return `${what}--${placeName(what.length, place)}`.toLowerCase();
}

/** The address of a port with `{{port}}` for its number, like Coder's `VSCODE_PROXY_URI`. */
export function portProxyAddress(place: AppPlaceNames, wildcard: Wildcard, accessUrl: URL): string {
  const label = `port--${placeName(LONGEST_PORT.length, place)}`.toLowerCase();
  return wildcardOrigin(wildcard, label, accessUrl).replace("://port--", "://{{port}}--");
}

function placeName(length: number, { agent, workspace, owner, alias }: AppPlaceNames): string {
  const names = `${agent}--${workspace}--${owner}`;
  return length + 2 + names.length <= MAX_LABEL ? names : alias;
}
