/** Starting and stopping a workspace, including one whose machine the user powers on and off. */

import { sleep } from "coder-client/base/backoff";
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { fetchByName } from "coder-client/rest/workspaces";
import type { WorkspaceName } from "coder-protocol/names";
import type { Workspace } from "coder-protocol/rest/workspaces";
import { UserError } from "../errors/user-error.ts";

const POLL_MS = 500;
/** Statuses of a build in progress. */
const MOVING = /^(pending|starting|stopping|canceling|deleting)$/;

export interface BuildRequest {
  readonly deployment: Deployment;
  readonly name: WorkspaceName;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export async function fetchWorkspace({ deployment, name, signal }: Omit<BuildRequest, "say">): Promise<Workspace> {
  const body = (await fetchByName(deployment, name, { signal })) as Workspace;
  if (typeof body?.latest_build?.status !== "string" || !Array.isArray(body.latest_build.resources))
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected a workspace");
  return body;
}

export interface StartOptions {
  readonly reason: string;
  /** Return once the start has been requested. */
  readonly noWait: boolean;
  /** Use the template's active version. */
  readonly update: boolean;
}

/** Starts the workspace and waits until it runs. One that already runs is fine. */
export async function startWorkspace(request: BuildRequest, options: StartOptions): Promise<void> {
  const { say } = request;
  const workspace = await settled(request);
  if (workspace.latest_build.status === "running" && !(options.update && workspace.outdated)) {
    say(`Workspace "${workspace.name}" is already running`);
    return;
  }
  await build(request, workspace, {
    transition: "start",
    reason: options.reason,
    template_version_id: options.update ? workspace.template_active_version_id : undefined,
  });
  if (options.noWait) {
    say(`The start of workspace "${workspace.name}" was requested`);
    return;
  }
  const started = await settled(request);
  expectStatus(started, "running");
  say(`Workspace "${started.name}" is started`);
  if (isExternal(started)) {
    say(
      `The deployment does not control its machine: an agent that runs there reconnects, otherwise start it there ("coder external-workspaces agent-instructions ${started.name}" says how)`,
    );
  }
}

/** Stops the workspace and waits until it is stopped. One that is already stopped is fine. */
export async function stopWorkspace(request: BuildRequest): Promise<void> {
  const { say } = request;
  const workspace = await settled(request);
  if (workspace.latest_build.status === "stopped") {
    say(`Workspace "${workspace.name}" is already stopped`);
    return;
  }
  await build(request, workspace, { transition: "stop" });
  const stopped = await settled(request);
  expectStatus(stopped, "stopped");
  say(`Workspace "${stopped.name}" is stopped`);
  if (isExternal(stopped))
    say(
      "Its agent cannot connect until the workspace is started again; its machine, which the deployment does not control, runs on",
    );
}

/** Deletes the workspace: ends all its connections and frees its name. */
export async function deleteWorkspace(request: BuildRequest): Promise<void> {
  const workspace = await settled(request);
  await build(request, workspace, { transition: "delete" });
  request.say(`Workspace "${workspace.name}" is deleted`);
  if (isExternal(workspace))
    request.say("The deployment does not control its machine, which runs on; an agent left there is refused");
}

export async function renameWorkspace(request: BuildRequest, newName: string): Promise<void> {
  const { deployment, signal, say } = request;
  const workspace = await fetchWorkspace(request);
  await deployment.call(`/api/v2/workspaces/${workspace.id}`, { method: "PATCH", body: { name: newName }, signal });
  say(`Workspace "${workspace.name}" is now "${newName}"`);
}

function isExternal(workspace: Workspace): boolean {
  return workspace.latest_build.has_external_agent === true;
}

async function build(request: BuildRequest, workspace: Workspace, body: object): Promise<void> {
  const { deployment, signal } = request;
  try {
    await deployment.call(`/api/v2/workspaces/${workspace.id}/builds`, { method: "POST", body, signal });
  } catch (error) {
    if (!(error instanceof ClientError) || error.status !== 409) throw error;
    throw new UserError(`Workspace "${workspace.name}" is being changed by another client`, {
      why: error.message,
      next: ["wait until that is done, then run this again"],
      code: "ERR_CONFLICT",
      cause: error,
    });
  }
}

/** Waits until no build is in progress. */
async function settled(request: BuildRequest): Promise<Workspace> {
  let reported = "";
  for (;;) {
    const workspace = await fetchWorkspace(request);
    const { status } = workspace.latest_build;
    if (!MOVING.test(status)) return workspace;
    if (status !== reported) request.say(`Workspace "${workspace.name}" is ${status}`);
    reported = status;
    await sleep(POLL_MS, request.signal);
  }
}

function expectStatus(workspace: Workspace, wanted: string): void {
  const { status, job } = workspace.latest_build;
  if (status === wanted) return;
  const why = typeof job?.error === "string" && job.error !== "" ? job.error : `its status is "${status}"`;
  throw new UserError(`Workspace "${workspace.name}" is not ${wanted}`, {
    why,
    next: [`coder show ${workspace.name}`],
    code: "ERR_BUILD_FAILED",
  });
}
