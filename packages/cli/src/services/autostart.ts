/** Starting a stopped workspace because somebody wants to connect to it. */

import { sleep } from "coder-client/base/backoff";
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { findWorkspace, type WorkspaceRef } from "coder-client/rest/workspaces";
import { UserError } from "../errors/user-error.ts";

const POLL_MS = 500;
/** States that lead to a running workspace by themselves. */
const COMING = /^(pending|starting|running)$/;
/** States that end, and then the workspace can be started. */
const ENDING = /^(stopping|canceling)$/;

export interface AutostartRequest {
  readonly deployment: Deployment;
  readonly signal: AbortSignal;
  readonly onStage: (text: string) => void;
}

/** Starts it, or waits for a start that others asked for. Rejects with UserError when it cannot be started. */
export async function startWorkspace(workspace: WorkspaceRef, request: AutostartRequest): Promise<WorkspaceRef> {
  const { deployment, signal, onStage } = request;
  let asked = false;
  for (let found = workspace; ; ) {
    if (found.buildStatus === "running") return found;
    if (COMING.test(found.buildStatus) || ENDING.test(found.buildStatus)) {
      onStage(`Workspace "${found.name}" is ${found.buildStatus}`);
    } else if (found.buildStatus === "stopped" && !asked) {
      onStage(`Starting workspace "${found.name}"`);
      await requestStart(found, deployment, signal);
      asked = true;
    } else {
      throw new UserError(`Workspace "${found.name}" cannot be started`, {
        why: `its status is "${found.buildStatus}"`,
        next: [`coder show ${found.name}`],
        code: "ERR_WORKSPACE_NOT_STARTED",
      });
    }
    await sleep(POLL_MS, signal);
    found = await findWorkspace(deployment, { owner: found.ownerName, workspace: found.name }, { signal });
  }
}

async function requestStart(workspace: WorkspaceRef, deployment: Deployment, signal: AbortSignal): Promise<void> {
  const path = `/api/v2/workspaces/${encodeURIComponent(workspace.id)}/builds`;
  const start = (body: object): Promise<unknown> =>
    deployment.call(path, { method: "POST", body: { transition: "start", reason: "ssh_connection", ...body }, signal });
  try {
    await start({});
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    // Somebody else started it at the same moment: the next look shows how far it is.
    if (error.status === 409) return;
    if (error.status !== 403) throw error;
    // The template wants its active version: a start with that is an update.
    const template = (await deployment.call(`/api/v2/workspaces/${encodeURIComponent(workspace.id)}`, { signal })) as {
      template_active_version_id?: string;
    };
    await start({ template_version_id: template.template_active_version_id });
  }
}
