/** Texts about workspace proxies, and the command line that starts one. */
import { PRIMARY_PROXY_NAME, proxyNameFault } from "coder-protocol/proxy-names";
import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { capital } from "../../base/words.ts";
import type { Tone } from "../../ui/state.tsx";

export function isPrimary({ name }: Pick<WorkspaceProxy, "name">): boolean {
  return name === PRIMARY_PROXY_NAME;
}

export function titleOf({ name, display_name }: Pick<WorkspaceProxy, "name" | "display_name">): string {
  return display_name === "" ? name : display_name;
}

/** The text below its title. */
export function subtitleOf({ name, display_name }: Pick<WorkspaceProxy, "name" | "display_name">): string {
  if (name === PRIMARY_PROXY_NAME) return "primary, this deployment";
  return display_name === "" ? "" : name;
}

export function statusOf({ status }: Pick<WorkspaceProxy, "status">): { readonly tone: Tone; readonly text: string } {
  switch (status.status) {
    case "ok":
      return status.report.warnings.length === 0 ? { tone: "ok", text: "Healthy" } : { tone: "warn", text: "Warning" };
    case "unregistered":
      return { tone: "idle", text: "Not started yet" };
    case "unreachable":
      return { tone: "bad", text: "Unreachable" };
    case "unhealthy":
      return { tone: "bad", text: "Failing" };
  }
}

/** What a proxy does; "" until one of its processes has reported it. */
export function roleOf(
  proxy: Pick<WorkspaceProxy, "derp_enabled" | "derp_only" | "path_app_url" | "wildcard_hostname">,
): string {
  if (proxy.path_app_url === "") return "";
  if (proxy.derp_only) return "Relay only";
  const roles = [
    ...(proxy.derp_enabled ? ["relay"] : []),
    "terminals",
    ...(proxy.wildcard_hostname === "" ? [] : ["apps"]),
  ];
  return capital(roles.join(", "));
}

/** What is wrong with a name, in a sentence; undefined when it is valid. */
export function nameProblem(name: string): string | undefined {
  if (name === PRIMARY_PROXY_NAME || name === "me") return `The name "${name}" is reserved.`;
  const fault = proxyNameFault(name);
  return fault === undefined ? undefined : `The name ${fault}.`;
}

/** What ends together with a proxy's token. */
export const END_AT_ONCE = "Terminals and web apps that are open through it end at once.";

/** File from which the line of {@link startLine} reads the token. */
export const TOKEN_FILE = "proxy-token";

/** What {@link startLine} depends on. */
export type StartedProxy = Pick<
  WorkspaceProxy,
  "name" | "path_app_url" | "wildcard_hostname" | "derp_enabled" | "derp_only" | "status"
>;

/**
 * The command line that starts a proxy. The access URL is a proposal if none is known. A proxy that has registered before keeps
 * what it serves.
 */
export function startLine(proxy: StartedProxy, primaryUrl: string): string {
  const accessUrl = proxy.path_app_url === "" ? proposedUrl(proxy.name, primaryUrl) : proxy.path_app_url;
  return [
    "coder wsproxy server",
    `--primary-access-url ${quoted(primaryUrl)}`,
    `--access-url ${quoted(accessUrl)}`,
    ...servingFlags(proxy),
    `--proxy-session-token-file ${TOKEN_FILE}`,
  ].join(" ");
}

/** Flags without which the proxy would begin or cease to serve something. */
function servingFlags({ wildcard_hostname, derp_enabled, derp_only, status }: StartedProxy): readonly string[] {
  if (derp_only) return ["--derp-only"]; // refused in combination with a wildcard
  const apps = wildcard_hostname === "" ? [] : [`--wildcard-access-url ${quoted(wildcard_hostname)}`];
  const isRelay = derp_enabled || status.status === "unregistered"; // a proxy that has reported nothing yet
  return isRelay ? apps : [...apps, "--derp-server-enable=false"];
}

function proposedUrl(name: string, primaryUrl: string): string {
  const { hostname } = new URL(primaryUrl);
  const isDomain = hostname.includes(".") && !/^[\d.]+$/.test(hostname) && !hostname.endsWith(".localhost");
  return `https://${name}.${isDomain ? hostname : "example.com"}`;
}

/** Quotes text as one word of a shell. */
function quoted(text: string): string {
  return /^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
