import type { IncomingMessage } from "node:http";
import type { Authenticator } from "../../auth/authenticator.ts";
import { DomainError } from "../../base/domain-error.ts";
import type { Logger } from "../../base/log.ts";
import type { OwnAddresses } from "../../base/own-addresses.ts";
import type { RequestRoute } from "../../base/routes.ts";
import { BUILD_VERSION } from "../../base/version.ts";
import type { DeploymentIds } from "../../db/store.ts";
import { userView } from "../views/users.ts";
import { type DashboardFiles, readBuildOutput } from "./build-output.ts";
import { type FirstWorkspacesDeps, firstWorkspaces, showsWorkspaces } from "./first-workspaces.ts";
import type { Boot } from "./page.ts";
import { dashboardRoute } from "./route.ts";

export interface DashboardDeps extends FirstWorkspacesDeps {
  /** Undefined if there is no dashboard or it is disabled. */
  readonly files: DashboardFiles | undefined;
  readonly authenticator: Authenticator;
  readonly deployment: DeploymentIds;
  readonly addresses: OwnAddresses;
  /** Origins of relays and workspace proxies, at which pages measure latency. */
  readonly connectOrigins: () => readonly string[];
  /** Relays as WebSocket origins, for the worker with a tunnel. */
  readonly relaySockets: () => readonly string[];
  readonly log: Logger;
}

/** The dashboard's route; empty if it is disabled or was not built. */
export function dashboardRoutes(deps: DashboardDeps): RequestRoute[] {
  const { files, addresses, log } = deps;
  if (files === undefined) return [];
  const output = readBuildOutput(files);
  if (output === undefined) {
    log.info("this copy of the server was built without the dashboard");
    return [];
  }
  return [
    dashboardRoute({
      output,
      boot: (request) => boot(deps, request),
      connectOrigins: deps.connectOrigins,
      isSecure: ({ socket }) => "encrypted" in socket || addresses.accessUrl().protocol === "https:",
      relaySockets: deps.relaySockets,
      logReport: (report) => log.warn({ report }, "a browser refused something on a page of the dashboard"),
    }),
  ];
}

async function boot(deps: DashboardDeps, request: IncomingMessage): Promise<Boot> {
  const auth = await deps.authenticator.authenticateUser(request);
  const user = auth instanceof DomainError ? undefined : auth.user;
  const shown = user !== undefined && showsWorkspaces(new URL(`http://unused${request.url ?? "/"}`));
  return {
    user: user === undefined ? null : userView(user, deps.deployment),
    ready: (await deps.tables.users.count()) > 0,
    version: BUILD_VERSION,
    workspaces: shown ? await firstWorkspaces(deps, user) : undefined,
  };
}
