/** PUT and GET /workspaceagents/{id}/files: transfers a file to or from a workspace. */
import type { IncomingMessage } from "node:http";
import type { AuthenticatedUser, Authenticator } from "../../auth/authenticator.ts";
import { DomainError, notFound } from "../../base/domain-error.ts";
import { type PlaceLimits, Places } from "../../base/places.ts";
import type { RequestRoute } from "../../base/routes.ts";
import type { TunnelRequest } from "../../tunnels/agent-tunnels.ts";
import type { ConnectionPolicies } from "../../workspaces/connection-policies.ts";
import { drainBody, type FileTransferParts, transferFile } from "../file-transfer.ts";

const PATH = /^\/api\/v2\/workspaceagents\/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\/files$/;

export interface FileRoutesDeps extends FileTransferParts {
  readonly authenticator: Authenticator;
  /** Refuses files to users whose connections are restricted to browsers; undefined if they may transfer files. */
  readonly policies: Pick<ConnectionPolicies, "refusal"> | undefined;
  readonly limits: PlaceLimits;
  readonly clientAddress: (request: IncomingMessage) => string;
}

export function fileRoute(deps: FileRoutesDeps): RequestRoute {
  const places = new Places("file transfers", deps.limits);
  return {
    name: "files",
    slowBodies: ["PUT"],
    match: (url, method) => PATH.test(url.pathname) && (method === "PUT" || method === "GET"),
    handle: async (request, response) => {
      const url = new URL(request.url ?? "/", "http://unused");
      try {
        const auth = await deps.authenticator.authenticateUser(request);
        if (auth instanceof DomainError) throw auth;
        places.takeUntilClosed({ userId: auth.user.id, address: deps.clientAddress(request) }, response);
        const tunnel = await tunnelTo(deps.authenticator, auth, url);
        if ((await deps.policies?.refusal(auth.user, tunnel.agentId)) !== undefined) throw leftToBrowsers();
        await transferFile(deps, { request, response, tunnel, query: url.searchParams });
      } catch (error) {
        drainBody(request);
        throw error;
      }
    },
  };
}

async function tunnelTo(
  authenticator: Authenticator,
  { user, key, token }: AuthenticatedUser,
  url: URL,
): Promise<TunnelRequest> {
  const agentId = (PATH.exec(url.pathname)?.[1] ?? "").toLowerCase();
  if ((await authenticator.canReachAgent(user, agentId)) === undefined) throw notFound();
  return { agentId, keyId: key.id, token, userId: user.id };
}

function leftToBrowsers(): DomainError {
  return new DomainError("browser-only", "File transfer is disabled for this workspace.", {
    detail: "Its connections are left to browsers; an administrator can allow files with --browser-only-files.",
  });
}
