/** Starts a stopped workspace in order to connect to it. */
import { sleep } from "wg-userspace/async/abort";
import { ClientError } from "../base/client-error.ts";
import type { RestApi } from "./api.ts";
import { steadily } from "./steady.ts";
import { findWorkspace, type WorkspaceRef } from "./workspaces.ts";

const POLL_MS = 500;
/** States that lead to a running workspace without a further request. */
const COMING = /^(pending|starting|running)$/;
/** States after which the workspace can be started. */
const ENDING = /^(stopping|canceling)$/;

export interface AutostartOptions {
  readonly deployment: RestApi;
  readonly signal: AbortSignal;
  /** Called before each wait. `requested`: this call has requested the start. */
  readonly onWait: (workspace: WorkspaceRef, requested: boolean) => void;
}

/** Starts the workspace, or waits for a start in progress. Rejects with ERR_WORKSPACE_NOT_STARTED when it cannot be started. */
export async function startWorkspace(workspace: WorkspaceRef, options: AutostartOptions): Promise<WorkspaceRef> {
  const { deployment, signal, onWait } = options;
  let asked = false;
  for (let found = workspace; ; ) {
    if (found.buildStatus === "running") return found;
    if (COMING.test(found.buildStatus) || ENDING.test(found.buildStatus)) {
      onWait(found, false);
    } else if (found.buildStatus === "stopped" && !asked) {
      onWait(found, true);
      await requestStart(found, deployment, signal);
      asked = true;
    } else {
      throw new ClientError("ERR_WORKSPACE_NOT_STARTED", `Workspace "${found.name}" cannot be started`, {
        detail: `its status is "${found.buildStatus}"`,
      });
    }
    await sleep(POLL_MS, signal);
    const name = { owner: found.ownerName, workspace: found.name };
    found = await steadily(() => findWorkspace(deployment, name, { signal }), signal);
  }
}

async function requestStart(workspace: WorkspaceRef, deployment: RestApi, signal: AbortSignal): Promise<void> {
  const path = `/api/v2/workspaces/${encodeURIComponent(workspace.id)}/builds`;
  const start = (body: object): Promise<unknown> =>
    deployment.call(path, { method: "POST", body: { transition: "start", reason: "ssh_connection", ...body }, signal });
  try {
    await start({});
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    // Another client started it at the same moment; the next look shows the progress.
    if (error.status === 409) return;
    if (error.status !== 403) throw error;
    // The template requires its active version, so the start has to be an update.
    const template = (await deployment.call(`/api/v2/workspaces/${encodeURIComponent(workspace.id)}`, { signal })) as {
      template_active_version_id?: string;
    };
    await start({ template_version_id: template.template_active_version_id });
  }
}
