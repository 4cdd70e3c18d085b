import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { EngineError } from "wg-userspace/base/errors";
import { ClientError } from "../base/client-error.ts";
import { waitForAgent } from "../connection/agent-wait.ts";
import { Attempt } from "../connection/attempt.ts";
import type { RestApi } from "./api.ts";
import { startWorkspace } from "./autostart.ts";
import { workspaceOf } from "./workspaces.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const restarting = new EngineError("ERR_CONNECTION_REFUSED", "connection refused", { retryable: true });
const agent = (status: string) => ({ id: "a", name: "main", status, lifecycle_state: "ready", scripts: [] });
const workspace = (status: string) => ({
  id: "w",
  name: "dev",
  owner_name: "ann",
  latest_build: { id: "b", status, transition: "start", resources: [{ agents: [agent("connecting")] }] },
});

/** A deployment that gives these answers in turn, and the last one from then on. */
function deployment(...answers: unknown[]) {
  const call = vi.fn(async () => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return { call } satisfies RestApi;
}

const waiting = (api: RestApi, signal?: AbortSignal) => {
  const [first] = workspaceOf(workspace("running")).agents;
  const wait = waitForAgent(first!, { deployment: api, wait: "no" }, new Attempt({ signal }));
  wait.catch(() => undefined); // awaited by the tests
  return wait;
};

it("an agent is awaited while the deployment restarts", async () => {
  const api = deployment(restarting, restarting, restarting, agent("connected"));
  const wait = waiting(api);
  await vi.advanceTimersByTimeAsync(5_000);
  expect((await wait).status).toBe("connected");
});

it("a workspace that starts is awaited while the deployment restarts", async () => {
  const api = deployment(restarting, workspace("starting"), restarting, workspace("running"));
  const { signal } = new AbortController();
  const start = startWorkspace(workspaceOf(workspace("starting")), {
    deployment: api,
    signal,
    onWait: () => undefined,
  });
  await vi.advanceTimersByTimeAsync(5_000);
  expect((await start).buildStatus).toBe("running");
});

it("a deployment that stays away ends the wait, and so does a refusal at once", async () => {
  const wait = waiting(deployment(restarting));
  await vi.advanceTimersByTimeAsync(29_000);
  await expect(Promise.race([wait, "still waiting"])).resolves.toBe("still waiting");
  await vi.advanceTimersByTimeAsync(3_000);
  await expect(wait).rejects.toBe(restarting);
  const refusal = new ClientError("ERR_UNAUTHORIZED", "no", { status: 401 });
  const api = deployment(refusal);
  const refused = waiting(api);
  await vi.advanceTimersByTimeAsync(1_000);
  await expect(refused).rejects.toBe(refusal);
  expect(api.call).toHaveBeenCalledOnce();
});

it("the end of the attempt ends the wait", async () => {
  const stop = new AbortController();
  const wait = waiting(deployment(restarting), stop.signal);
  await vi.advanceTimersByTimeAsync(3_000);
  stop.abort(new Error("stopped"));
  await expect(wait).rejects.toThrow("stopped");
  expect(vi.getTimerCount()).toBe(0);
});
