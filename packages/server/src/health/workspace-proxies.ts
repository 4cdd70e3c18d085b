/** Section `workspace_proxy` of the health report: what the checks of the proxies found last. */
import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import type { LeftOutProxy } from "../workspace-proxies/proxy-regions.ts";
import { message, type Section, works } from "./section.ts";

export interface ProxySection extends Section {
  readonly workspace_proxies: { readonly regions: readonly WorkspaceProxy[] };
}

export interface ProxySources {
  /** Without the primary. */
  readonly proxies: () => readonly WorkspaceProxy[];
  readonly leftOut: () => readonly LeftOutProxy[];
}

/** A proxy that is not well is a warning: what it would carry takes another way. */
export function checkProxies({ proxies, leftOut }: ProxySources): ProxySection {
  const regions = proxies();
  const unwell = regions.filter(({ status }) => status.status === "unreachable" || status.status === "unhealthy");
  const warnings = [
    ...unwell.map(({ name, status }) =>
      message("EWP04", `workspace proxy ${name} is ${[status.status, ...status.report.errors].join(": ")}`),
    ),
    ...leftOut().map(({ name, why }) => message("EWP05", `workspace proxy ${name} is not in the relay map: ${why}`)),
  ];
  return { ...works(warnings), workspace_proxies: { regions } };
}
