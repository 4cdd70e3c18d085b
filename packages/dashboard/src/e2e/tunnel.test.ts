import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { FarEnd, TunnelView } from "./messages.ts";
import { FakeWorkspace } from "./testing.ts";
import { AgentTunnel } from "./tunnel.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] }));
afterEach(() => void vi.useRealTimers());

function setUp() {
  const workspaces: FakeWorkspace[] = [];
  const shown: TunnelView[] = [];
  const asked: [string, FarEnd][] = [];
  let trust: (signal: AbortSignal) => Promise<void> = async () => undefined;
  let answers = 0;
  let prepare: (workspace: FakeWorkspace) => void = () => undefined;
  const tunnel = new AgentTunnel(
    async () => {
      const workspace = new FakeWorkspace();
      workspaces.push(workspace);
      prepare(workspace);
      return workspace;
    },
    {
      show: (view) => shown.push(view),
      answered: () => void answers++,
      trusted: async (agentId, end, signal) => {
        asked.push([agentId, end]);
        await trust(signal);
      },
    },
  );
  return {
    tunnel,
    workspaces,
    shown,
    asked,
    trustWith: (next: typeof trust) => {
      trust = next;
    },
    answers: () => answers,
    prepareWith: (next: typeof prepare) => {
      prepare = next;
    },
  };
}

it("is shown as up with its keys once the agent answered an echo", async () => {
  const { tunnel, workspaces, shown, answers } = setUp();
  expect(await tunnel.ready("agent")).toMatchObject({ framed: true });
  expect(shown).toEqual([{ kind: "connecting" }]);
  workspaces[0]!.echoes[0]!.resolve(12);
  await setImmediate();
  expect(shown.at(-1)).toEqual({
    kind: "up",
    region: "here",
    latencyMs: 12,
    ownKey: "01",
    agentKey: "ab",
    end: { kind: "key", key: "ab" },
  });
  expect(answers()).toBe(1);
  expect(await tunnel.ready("agent")).toBe(await tunnel.ready("agent"));
  expect(workspaces.length).toBe(1);
});

it("a workspace whose agent does not tell what it can do is closed", async () => {
  const { tunnel, workspaces, shown, prepareWith } = setUp();
  prepareWith((workspace) => {
    workspace.capabilities = async () => {
      throw new Error("no answer");
    };
  });
  await expect(tunnel.ready("agent")).rejects.toThrow("no answer");
  expect(workspaces[0]!.closed).toBe(1);
  expect(shown.at(-1)).toMatchObject({
    kind: "failed",
    final: false,
    reason: expect.stringContaining("no answer. If"),
  });
  prepareWith(() => undefined);
  await tunnel.ready("agent");
  expect(workspaces.map(({ closed }) => closed)).toEqual([1, 0]);
});

it("nothing is shown for an echo without an answer, nor after the tunnel was dropped", async () => {
  const { tunnel, workspaces, shown, answers } = setUp();
  await tunnel.ready("agent");
  const [workspace] = workspaces;
  workspace!.echoes[0]!.reject(new Error("late"));
  await setImmediate();
  vi.advanceTimersByTime(10_000);
  tunnel.drop();
  await setImmediate();
  workspace!.echoes[1]!.resolve(5);
  await setImmediate();
  expect([shown, answers(), workspace!.closed]).toEqual([[{ kind: "connecting" }], 0, 1]);
  expect(vi.getTimerCount()).toBe(0);
});

it("is not used before its far end is trusted, and is closed when it is dropped while that is open", async () => {
  const { tunnel, workspaces, shown, asked, trustWith } = setUp();
  trustWith((signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))));
  let isReady = false;
  const ready = tunnel.ready("agent").finally(() => {
    isReady = true;
  });
  ready.catch(() => undefined);
  await setImmediate();
  expect([isReady, asked]).toEqual([false, [["agent", { kind: "key", key: "ab" }]]]);
  tunnel.drop();
  await expect(ready).rejects.toThrow("the tunnel was dropped");
  expect([workspaces[0]!.closed, shown]).toEqual([1, [{ kind: "connecting" }]]);
  trustWith(async () => undefined);
  await tunnel.ready("agent");
  expect(workspaces.length).toBe(2);
});
