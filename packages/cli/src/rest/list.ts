import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import type { Workspace } from "coder-protocol/rest/workspaces";

/** The Workspace array as the server sent it. */
export async function listWorkspaces(deployment: Deployment, query: string, signal: AbortSignal): Promise<Workspace[]> {
  const body = (await deployment.call("/api/v2/workspaces", {
    query: { q: query === "" ? undefined : quoted(query) },
    signal,
  })) as { workspaces?: unknown } | undefined;
  if (!Array.isArray(body?.workspaces)) {
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected a list of workspaces");
  }
  return body.workspaces as Workspace[];
}

/** Sends `owner:me` as `owner:"me"`, as other clients do. */
function quoted(query: string): string {
  return query.replace(/\b([a-z_-]+):([^"\s]+)/g, '$1:"$2"');
}
