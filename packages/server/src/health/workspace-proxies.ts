/** Section `workspace_proxy` of the health report: the results of the last checks of the proxies. */
import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { minorVersion } from "../base/minor-version.ts";
import type { LeftOutProxy } from "../workspace-proxies/proxy-regions.ts";
import { message, type Section, works } from "./section.ts";

export interface ProxySection extends Section {
  readonly workspace_proxies: { readonly regions: readonly WorkspaceProxy[] };
}

export interface ProxySources {
  /** All proxies except the primary. */
  readonly proxies: () => readonly WorkspaceProxy[];
  readonly leftOut: () => readonly LeftOutProxy[];
  /** Whether the last attempt to read them succeeded. */
  readonly areCurrent: () => boolean;
  /** Whether they are being checked; they are not while results cannot be stored. */
  readonly areChecked: () => boolean;
  /** The version of this server. */
  readonly version: string;
}

/** An unhealthy proxy is only a warning, because its traffic takes another path. */
export function checkProxies(sources: ProxySources): ProxySection {
  const regions = sources.proxies();
  const unwell = regions.filter(({ status }) => status.status === "unreachable" || status.status === "unhealthy");
  const others = regions.filter(
    ({ version }) => version !== "" && minorVersion(version) !== minorVersion(sources.version),
  );
  const warnings = [
    ...(sources.areChecked()
      ? []
      : [message("EWP01", "workspace proxies are not checked: what the checks find cannot be stored")]),
    ...(sources.areCurrent()
      ? []
      : [message("EWP02", "the workspace proxies could not be read from the database: they may have changed since")]),
    ...others.map(({ name, version }) =>
      message("EWP03", `workspace proxy ${name} runs ${version}, and this server ${sources.version}`),
    ),
    ...unwell.map(({ name, status }) =>
      message("EWP04", `workspace proxy ${name} is ${[status.status, ...status.report.errors].join(": ")}`),
    ),
    ...sources
      .leftOut()
      .map(({ name, why }) => message("EWP05", `workspace proxy ${name} is not in the relay map: ${why}`)),
  ];
  return { ...works(warnings), workspace_proxies: { regions } };
}
