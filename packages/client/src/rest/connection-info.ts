import { type DerpMap, parseDerpMap } from "wg-userspace/derp/map";
import { ClientError } from "../base/client-error.ts";
import type { RestApi } from "./api.ts";
import { askConnectionInfo } from "./workspaces.ts";

export interface ConnectionInfo {
  readonly derpMap: DerpMap;
  readonly forceWebSocket: boolean;
  readonly disableDirectConnections: boolean;
  readonly hostnameSuffix: string | undefined;
}

/** How to reach agents of this deployment. Rejects with ERR_NO_RELAY when its relay map contains no relay. */
export async function fetchConnectionInfo(
  deployment: RestApi,
  options: { readonly signal?: AbortSignal } = {},
): Promise<ConnectionInfo> {
  return connectionInfoOf(await askConnectionInfo(deployment, options));
}

/** Parses the answer to {@link askConnectionInfo}. Throws ERR_NO_RELAY or ERR_NOT_A_CODER_SERVER. */
export function connectionInfoOf(answer: unknown): ConnectionInfo {
  const body = answer as Record<string, unknown> | null | undefined;
  if (typeof body !== "object" || body === null) {
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "the deployment's answer has no connection information");
  }
  return {
    derpMap: relayMapOf(body["derp_map"]),
    forceWebSocket: body["derp_force_websockets"] === true,
    disableDirectConnections: body["disable_direct_connections"] === true,
    hostnameSuffix: typeof body["hostname_suffix"] === "string" ? body["hostname_suffix"] : undefined,
  };
}

function relayMapOf(json: unknown): DerpMap {
  if (json === null || json === undefined) throw new ClientError("ERR_NO_RELAY", "The deployment has no relay");
  const parsed = parseDerpMap(json);
  if ("error" in parsed)
    throw new ClientError("ERR_NO_RELAY", `The deployment's relay map cannot be used: ${parsed.error}`);
  return parsed.map;
}
