/** The address at which an app of a workspace opens. */
import type { Deployment } from "coder-client/rest/deployment";

export interface AppNames {
  readonly slug: string;
  readonly agent: string;
  readonly workspace: string;
  readonly owner: string;
  /** First label of the app's host name; empty for an app served under a path. */
  readonly subdomainName: string;
}

/** The host names of apps, such as `*.apps.example.com:8443`; "" when there are none. */
export async function applicationsHost(deployment: Deployment, signal: AbortSignal): Promise<string> {
  const body = (await deployment.call("/api/v2/applications/host", { signal })) as { host?: unknown } | null;
  return typeof body?.host === "string" ? body.host : "";
}

/** At a host name of its own where the deployment has one, otherwise under a path. */
export function appAddress(deployment: URL, host: string, app: AppNames): string {
  if (host !== "" && app.subdomainName !== "") return ownAddress(deployment, host, app.subdomainName);
  const place = `@${app.owner}/${app.workspace}.${app.agent}`;
  return new URL(`/${place}/apps/${encodeURIComponent(app.slug)}/`, deployment).href;
}

function ownAddress(deployment: URL, host: string, label: string): string {
  const address = `${deployment.protocol}//${host.replace("*", label)}/`;
  return URL.canParse(address) ? new URL(address).href : address;
}
