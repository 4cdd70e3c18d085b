/** The routes that a workspace proxy uses with its own token: `/api/v2/workspaceproxies/me/*`. */

import {
  deregisterProxyRequest,
  PROXY_DEREGISTER_PATH,
  PROXY_REGISTER_PATH,
  PROXY_RELAY_KEYS_PATH,
  type RegisterProxyResponse,
  registerProxyRequest,
} from "coder-protocol/rest/workspace-proxies";
import { type DerpMap, derpMapToJson } from "wg-userspace/derp/map";
import { formatTime, type WallClock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import type { OpenStreams } from "../../base/open-streams.ts";
import { Places } from "../../base/places.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import { CLOSE_POLICY, TextSockets } from "../../base/text-sockets.ts";
import type { ControlPlane } from "../../control/control-plane.ts";
import type { WorkspaceProxyReplicaRow, WorkspaceProxyRow } from "../../db/schema.ts";
import { REFRESH_MS } from "../../workspace-proxies/proxy-registration.ts";
import type { ProxyServices } from "../../workspace-proxies/proxy-services.ts";
import { HttpFailure } from "../failure.ts";
import type { Router } from "../hono.ts";
import type { HttpLimits } from "../limits.ts";
import { readJson } from "../reply.ts";
import type { SenderOf } from "../senders.ts";

const API = "/api/v2";

export interface ProxyRoutesDeps {
  readonly requestProxy: SenderOf<WorkspaceProxyRow>;
  readonly proxies: Pick<ProxyServices, "registration">;
  readonly regionIdOf: (regionNumber: number) => number;
  /** Returns hex; depends on the proxy and the generation of its token. */
  readonly meshKeyOf: (proxyId: string, tokenGeneration: number) => string;
  readonly relayMap: () => DerpMap;
  readonly forceWebSockets: boolean;
  readonly blockDirect: boolean;
  readonly clock: WallClock;
  readonly bodyBytes: number;
}

export function proxyRoutes(router: Router, deps: ProxyRoutesDeps): void {
  const { requestProxy } = deps;
  const { registration } = deps.proxies;

  router.post(PROXY_REGISTER_PATH.slice(API.length), async (c) => {
    const sender = await requestProxy(c);
    const request = await readJson(c, registerProxyRequest, deps.bodyBytes);
    const { proxy, siblings } = await registration.register(sender, request);
    const regionId = deps.regionIdOf(proxy.region_number);
    const body: RegisterProxyResponse = {
      derp_mesh_key: deps.meshKeyOf(proxy.id, proxy.token_generation),
      derp_region_id: regionId,
      derp_map: derpMapToJson(deps.relayMap()),
      derp_force_websockets: deps.forceWebSockets,
      disable_direct_connections: deps.blockDirect,
      time: formatTime(deps.clock.now()),
      sibling_replicas: siblings.map((row) => siblingView(row, regionId)),
      app_security_key: "",
      admission: "stream",
      refresh_ms: REFRESH_MS,
    };
    return c.json(body, 201);
  });

  router.post(PROXY_DEREGISTER_PATH.slice(API.length), async (c) => {
    const sender = await requestProxy(c);
    const { replica_id: replicaId } = await readJson(c, deregisterProxyRequest, deps.bodyBytes);
    await registration.deregister(sender, replicaId);
    return c.body(null, 204);
  });

  // Any other request of a proxy is unsupported; the last part of this path is not the name of a proxy.
  router.all("/workspaceproxies/me/:rest{.+}", async (c) => {
    await requestProxy(c);
    throw new HttpFailure(404, "Route not found.");
  });
}

/** The WebSocket through which a proxy learns which node keys may use its relay. */
export function relayKeysRoute(deps: {
  readonly proxies: Pick<ProxyServices, "authenticator" | "relayKeys" | "checks">;
  readonly control: Pick<ControlPlane, "throwRefusal">;
  readonly streams: OpenStreams;
  readonly limits: Pick<HttpLimits, "proxyStreams" | "heartbeatMs" | "recheckMs">;
  readonly log: Pick<Logger, "warn">;
}): UpgradeRoute {
  const { streams, limits, log } = deps;
  const { authenticator, relayKeys, checks } = deps.proxies;
  const sockets = new TextSockets({
    places: new Places("streams of relay keys", limits.proxyStreams),
    heartbeatMs: limits.heartbeatMs,
    streams,
  });
  return {
    name: "proxy relay keys",
    upgradeOnly: true,
    match: ({ pathname }) => pathname === PROXY_RELAY_KEYS_PATH,
    handle: async (request, socket, head) => {
      deps.control.throwRefusal();
      const proxy = await authenticator.authenticate(request);
      const accepted = await sockets.accept(request, socket, head, { userId: proxy.id });
      if (accepted === undefined) return;
      relayKeys.follow(accepted, proxy.id);
      const recheck = async (): Promise<void> => {
        if (!(await authenticator.stillHolds(proxy))) accepted.close(CLOSE_POLICY, "the token ended");
      };
      // The event may be missed: it may occur at another server, or before the stream began.
      const timer = setInterval(() => {
        recheck().catch((error: unknown) => {
          log.warn({ err: error, proxy: proxy.name }, "checking the token of a stream of relay keys failed");
        });
      }, limits.recheckMs);
      timer.unref();
      accepted.onClose(() => {
        clearInterval(timer);
        // As long as a process of the proxy runs, it keeps this stream, so its end is the first sign that the proxy is away.
        checks.checkSoon(proxy.id);
      });
      await recheck();
    },
  };
}

function siblingView(
  row: WorkspaceProxyReplicaRow,
  regionId: number,
): RegisterProxyResponse["sibling_replicas"][number] {
  return {
    id: row.id,
    hostname: row.hostname,
    created_at: formatTime(row.started_at),
    relay_address: row.relay_address,
    region_id: regionId,
    error: row.error,
    database_latency: 0,
    version: row.version,
  };
}
