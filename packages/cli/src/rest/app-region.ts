/** The region at which an app is opened: the deployment itself, or a workspace proxy. */
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { type AppRegion, appAddressIn, type PlacedApp } from "coder-protocol/app-regions";
import { PRIMARY_PROXY_NAME, proxyRegionCode } from "coder-protocol/proxy-names";
import { printable } from "../base/text.ts";
import { UserError } from "../errors/user-error.ts";
import { appAddress, applicationsHost } from "./app-address.ts";

interface NamedRegion extends AppRegion {
  readonly id: string;
  readonly name: string;
  readonly displayName: string;
  readonly healthy: boolean;
}

export interface OpenedApp {
  readonly address: string;
  /** Why it is not at the requested region. */
  readonly note: string | undefined;
}

/**
 * Chooses where an app opens: the region of this name, or the deployment itself if that region is not healthy or does not serve
 * it. Rejects with UserError for an unknown name, ClientError, EngineError or `signal.reason`.
 */
export async function openedAt(
  deployment: Deployment,
  app: PlacedApp,
  { region: wanted, signal }: { readonly region: string; readonly signal: AbortSignal },
): Promise<OpenedApp> {
  const region = await appRegion(deployment, wanted, signal);
  let note: string | undefined;
  if (region !== PRIMARY_PROXY_NAME) {
    const there = region.healthy ? appAddressIn(region, app) : undefined;
    if (there !== undefined) return { address: there.href, note: undefined };
    const why = region.healthy ? "does not serve this app" : "is unhealthy at present";
    note = `Region "${printable(region.name)}" ${why}: opening it at the deployment`;
  }
  const host = app.label === "" ? "" : await applicationsHost(deployment, signal);
  return { address: appAddress(deployment.url, host, { ...app, subdomainName: app.label }), note };
}

/**
 * The workspace proxy with this name, display name, code or id; "primary" means the deployment itself. Rejects with UserError for
 * an unknown name, ClientError, EngineError or `signal.reason`.
 */
async function appRegion(
  deployment: Deployment,
  wanted: string,
  signal: AbortSignal,
): Promise<NamedRegion | typeof PRIMARY_PROXY_NAME> {
  const isWanted = (text: string): boolean => text.toLowerCase() === wanted.toLowerCase();
  if (isWanted(PRIMARY_PROXY_NAME)) return PRIMARY_PROXY_NAME;
  const [primary, ...proxies] = await listRegions(deployment, signal);
  const found = proxies.find(({ id, name, displayName }) =>
    [id, name, displayName, proxyRegionCode(name)].some(isWanted),
  );
  if (found !== undefined) return found;
  if (primary !== undefined && [primary.id, primary.displayName].some(isWanted)) return PRIMARY_PROXY_NAME;
  const names = [PRIMARY_PROXY_NAME, ...proxies.map(({ name }) => printable(name))];
  throw new UserError(`The deployment has no region "${printable(wanted)}" where apps are opened`, {
    why: `it has: ${names.join(", ")}`,
    next: ["name one of them with --region or CODER_OPEN_APP_REGION"],
    code: "ERR_NO_REGION",
  });
}

async function listRegions(deployment: Deployment, signal: AbortSignal): Promise<NamedRegion[]> {
  const body = (await deployment.call("/api/v2/regions", { signal })) as { regions?: unknown } | null | undefined;
  if (!Array.isArray(body?.regions))
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected the deployment's regions");
  return body.regions.flatMap(regionOf);
}

function regionOf(value: unknown): NamedRegion[] {
  const fields = (value ?? {}) as Readonly<Record<string, unknown>>;
  const text = (name: string): string => {
    const field = fields[name];
    return typeof field === "string" ? field : "";
  };
  if (text("name") === "") return [];
  const { healthy, path_apps: pathApps } = fields;
  return [
    {
      id: text("id"),
      name: text("name"),
      displayName: text("display_name"),
      healthy: healthy === true,
      path_app_url: text("path_app_url"),
      wildcard_hostname: text("wildcard_hostname"),
      path_apps: typeof pathApps === "boolean" ? pathApps : undefined,
    },
  ];
}
