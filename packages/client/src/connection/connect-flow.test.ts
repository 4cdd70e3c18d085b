import { expect, it } from "vitest";
import { EngineError } from "wg-userspace/base/errors";
import type { RequestOptions } from "../rest/api.ts";
import type { ConnectStage } from "./attempt.ts";
import { type BegunTunnel, connectFlow } from "./connect-flow.ts";

const NAME = { workspace: "dev" };
const AGENT = { id: "a1", name: "main", status: "connected", lifecycle_state: "ready", scripts: [] };
type AgentFields = Partial<Omit<typeof AGENT, "scripts">> & { readonly scripts?: readonly object[] };

function workspace(status: string, agent: AgentFields = {}) {
  return {
    id: "w1",
    name: "dev",
    owner_name: "ada",
    latest_build: { id: "b1", status, transition: "start", resources: [{ agents: [{ ...AGENT, ...agent }] }] },
  };
}

/** A deployment with answers from the test, and the requests it received. */
function deploymentOf(answer: (path: string, method: string) => unknown) {
  const asked: string[] = [];
  return {
    asked,
    call: async (path: string, options: RequestOptions = {}): Promise<unknown> => {
      asked.push(path);
      return answer(path, options.method ?? "GET");
    },
  };
}

class FakeTunnel implements BegunTunnel<string> {
  closed = false;
  readonly #connect: BegunTunnel<string>["connect"];
  constructor(connect: BegunTunnel<string>["connect"] = async (agentId) => `connection to ${agentId}`) {
    this.#connect = connect;
  }
  connect(...args: Parameters<BegunTunnel<string>["connect"]>): Promise<string> {
    return this.#connect(...args);
  }
  describeTrouble(): string {
    return "the relay refused us";
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

function stagesOf(): { readonly seen: string[]; readonly onStage: (stage: ConnectStage) => void } {
  const seen: string[] = [];
  const onStage = (stage: ConnectStage): void => {
    const text = "waitingFor" in stage ? `${stage.kind}: ${stage.waitingFor}` : stage.kind;
    if (seen.at(-1) !== text) seen.push(text);
  };
  return { seen, onStage };
}

it("begins the tunnel while it looks the workspace up, and names each stage", async () => {
  const begun = Promise.withResolvers<void>();
  const deployment = deploymentOf(async () => {
    await begun.promise; // the lookup is answered only after the tunnel was begun
    return workspace("running");
  });
  const { seen, onStage } = stagesOf();
  const connected = await connectFlow(deployment, NAME, { onStage }, async () => {
    begun.resolve();
    return new FakeTunnel();
  });
  expect(connected).toMatchObject({ connection: "connection to a1", agent: { id: "a1" }, workspace: { name: "dev" } });
  expect(seen).toEqual(["lookup", "agent-ready", "tunnel: control plane"]);
});

it("closes a begun tunnel when there is no workspace to connect to", async () => {
  for (const [status, code] of [
    ["stopped", "ERR_WORKSPACE_STOPPED"],
    ["failed", "ERR_WORKSPACE_STOPPED"],
  ]) {
    const tunnel = new FakeTunnel();
    const connecting = connectFlow(
      deploymentOf(() => workspace(status!)),
      NAME,
      {},
      async () => tunnel,
    );
    await expect(connecting).rejects.toMatchObject({ code, detail: `its status is "${status}"` });
    await expect.poll(() => tunnel.closed).toBe(true);
  }
});

it("starts a stopped workspace when that is wanted", async () => {
  let status = "stopped";
  const deployment = deploymentOf((path, method) => {
    if (method === "POST") status = "starting";
    else if (status === "starting" && path.includes("/users/")) {
      status = "running";
      return workspace("starting");
    }
    return workspace(status);
  });
  const { seen, onStage } = stagesOf();
  const connected = await connectFlow(deployment, NAME, { autostart: true, onStage }, async () => new FakeTunnel());
  expect(connected.workspace.buildStatus).toBe("running");
  expect(seen).toEqual(["lookup", "workspace", "agent-ready", "tunnel: control plane"]);
  expect(deployment.asked).toContain("/api/v2/workspaces/w1/builds");
});

it("waits for the agent, then for the scripts that block logins, and shows what they print", async () => {
  const scripts = [{ start_blocks_login: true }];
  const looks: AgentFields[] = [
    { status: "disconnected", scripts },
    { status: "connected", lifecycle_state: "starting", scripts },
    { status: "connected", lifecycle_state: "start_error", scripts },
  ];
  const deployment = deploymentOf((path) => {
    if (path.endsWith("/logs")) return [{ id: 1, output: "installing" }];
    if (path.includes("/workspaceagents/")) return { ...AGENT, ...looks.shift() };
    return workspace("running", { status: "connecting", scripts });
  });
  const { seen, onStage } = stagesOf();
  const lines: string[] = [];
  const { agent } = await connectFlow(
    deployment,
    NAME,
    { onStage, onStartupLog: (line) => lines.push(line) },
    async () => new FakeTunnel(),
  );
  expect(agent.lifecycleState).toBe("start_error");
  expect(lines).toEqual(["installing"]);
  expect(seen).toEqual([
    "lookup",
    "agent: first-connection",
    "agent: reconnection",
    "agent: startup-scripts",
    "agent-ready",
    "tunnel: control plane",
  ]);
});

it("gives up on an agent that keeps shutting down", async () => {
  const off = { lifecycle_state: "shutting_down" };
  const deployment = deploymentOf((path) =>
    path.includes("/workspaceagents/") ? { ...AGENT, ...off } : workspace("running", off),
  );
  const connecting = connectFlow(deployment, NAME, {}, async () => new FakeTunnel());
  await expect(connecting).rejects.toMatchObject({ code: "ERR_AGENT_OFF" });
});

it("names the stage that was not passed when the time is up", async () => {
  const noAgent = deploymentOf((path) =>
    path.includes("/workspaceagents/")
      ? { ...AGENT, status: "connecting" }
      : workspace("running", { status: "timeout" }),
  );
  await expect(connectFlow(noAgent, NAME, { timeoutMs: 50 }, async () => new FakeTunnel())).rejects.toMatchObject({
    code: "ERR_AGENT_UNREACHABLE",
    message: 'Workspace "dev" could not be reached within 0 s',
    detail: 'its agent "main" has never connected',
  });
  const tunnel = new FakeTunnel((_, attempt) => {
    attempt.enter({ kind: "tunnel", waitingFor: "relay" });
    return new Promise((_resolve, reject) => {
      attempt.signal.addEventListener("abort", () => reject(attempt.signal.reason));
    });
  });
  const connecting = connectFlow(
    deploymentOf(() => workspace("running")),
    NAME,
    { timeoutMs: 50 },
    async () => tunnel,
  );
  await expect(connecting).rejects.toMatchObject({
    code: "ERR_AGENT_UNREACHABLE",
    message: "The workspace could not be reached within 0 s: no connection to a relay",
    detail: "stage reached: relay; the relay refused us",
  });
  expect(tunnel.closed).toBe(true);
});

it("rejects with the caller's reason, and with what failed, as it is", async () => {
  const stop = new AbortController();
  const reason = new Error("enough");
  const waiting = deploymentOf(() => workspace("running", { status: "connecting" }));
  const aborted = connectFlow(
    waiting,
    NAME,
    { signal: stop.signal, timeoutMs: 60_000, onStage: ({ kind }) => kind === "agent" && stop.abort(reason) },
    async () => new FakeTunnel(),
  );
  await expect(aborted).rejects.toBe(reason);
  const failure = new EngineError("ERR_NO_PATH", "no way");
  const failing = connectFlow(
    deploymentOf(() => workspace("running")),
    NAME,
    {},
    async () => {
      throw failure;
    },
  );
  await expect(failing).rejects.toBe(failure);
});
