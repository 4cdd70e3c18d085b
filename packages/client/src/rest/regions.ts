/** Workspace proxies as every user sees them, read without the schema library, because the lean start loads this. */
import { PRIMARY_PROXY_NAME, proxyRegionCode } from "coder-protocol/proxy-names";
import { ClientError } from "../base/client-error.ts";
import type { RestApi } from "./api.ts";

const MAX_PROXIES = 1_000;

export interface ProxyRef {
  readonly name: string;
  readonly displayName: string;
  readonly healthy: boolean;
}

/**
 * The workspace proxies of a deployment, including those that only relay. Empty where the deployment does not know the route.
 * Rejects with ClientError, EngineError or `signal.reason`.
 */
export async function fetchProxies(
  deployment: RestApi,
  options: { readonly signal?: AbortSignal } = {},
): Promise<ProxyRef[]> {
  let answer: unknown;
  try {
    answer = await deployment.call("/api/v2/regions?derp_only=true", options);
  } catch (error) {
    if (error instanceof ClientError && error.code === "ERR_NOT_FOUND") return [];
    throw error;
  }
  const regions = (answer as { regions?: unknown } | null | undefined)?.regions;
  if (!Array.isArray(regions))
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected the deployment's regions");
  return regions.slice(0, MAX_PROXIES).flatMap(proxyOf);
}

/** Whether a workspace proxy has this name or display name, or its region this code. */
export async function isProxy(deployment: RestApi, text: string, signal: AbortSignal): Promise<boolean> {
  const wanted = text.toLowerCase();
  const proxies = await fetchProxies(deployment, { signal });
  return proxies.some(({ name, displayName }) =>
    [name, displayName, proxyRegionCode(name)].some((one) => one.toLowerCase() === wanted),
  );
}

function proxyOf(region: unknown): ProxyRef[] {
  const { name, display_name: displayName, healthy } = (region ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof name !== "string" || name === "" || name === PRIMARY_PROXY_NAME) return [];
  return [{ name, displayName: typeof displayName === "string" ? displayName : "", healthy: healthy === true }];
}
