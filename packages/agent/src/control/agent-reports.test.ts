import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DrpcError, type RpcSession } from "coder-protocol/drpc/async";
import {
  Agent,
  BatchCreateLogsRequestSchema,
  BatchCreateLogsResponseSchema,
  BatchUpdateMetadataRequestSchema,
  type WorkspaceAgentScriptCompletedRequestSchema,
} from "coder-protocol/gen/agent_pb.js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import { MetadataCollector } from "../scripts/metadata.ts";
import type { ScriptTiming } from "../scripts/startup-scripts.ts";
import { AgentReports } from "./agent-reports.ts";
import { AppHealth } from "./app-health.ts";

const SOURCE = "11111111-1111-1111-1111-111111111111";
const TIMING: ScriptTiming = {
  id: "22222222-2222-2222-2222-222222222222",
  stage: "start",
  startedAtMs: 1_000,
  endedAtMs: 2_000,
  exitCode: 3,
  status: "failed",
};

/** A deployment that accepts everything, unless the test refuses a call. */
class Deployment {
  readonly lines: string[] = [];
  readonly metadata: string[] = [];
  readonly timings: MessageInitShape<typeof WorkspaceAgentScriptCompletedRequestSchema>[] = [];
  failure: Error | undefined;
  logLimitExceeded = false;
  unknown = "";

  readonly rpc = {
    unary: (method: { readonly name: string }, request: never): Promise<unknown> => {
      if (this.failure !== undefined) return Promise.reject(this.failure);
      if (this.unknown === method.name)
        return Promise.reject(
          new DrpcError(0, `drpc: protocol error: unknown rpc: "/x/${method.name}"`, { reason: "remote" }),
        );
      if (method === Agent.method.batchCreateLogs) {
        this.lines.push(...create(BatchCreateLogsRequestSchema, request).logs.map(({ output }) => output));
        return Promise.resolve(create(BatchCreateLogsResponseSchema, { logLimitExceeded: this.logLimitExceeded }));
      }
      if (method === Agent.method.scriptCompleted) this.timings.push(request);
      if (method === Agent.method.batchUpdateMetadata)
        for (const { key, result } of create(BatchUpdateMetadataRequestSchema, request).metadata)
          this.metadata.push(`${key}=${result?.value} ${result?.age}`);
      return Promise.resolve({});
    },
  } as unknown as RpcSession;
}

describe("reports to the deployment", () => {
  let reports: AgentReports;
  let metadata: MetadataCollector;

  beforeEach(() => {
    vi.useFakeTimers({ now: 1_000_000 });
    metadata = new MetadataCollector({
      collect: ({ key }) => Promise.resolve({ value: key, error: "" }),
      schedule: () => () => undefined,
      now: () => Date.now(),
      logger: silentLogger,
    });
    const apps = new AppHealth({ check: async () => false, schedule: () => () => undefined, now: () => 0 });
    reports = new AgentReports({ metadata, apps, logger: silentLogger, now: () => Date.now() });
  });
  afterEach(() => void vi.useRealTimers());

  const say = (output: string): void => reports.logs.add(SOURCE, { atMs: Date.now(), level: "info", output });
  /** One connection; `ended` resolves with the reason for its end. */
  function connect(deployment: Deployment): { end: () => void; ended: Promise<unknown> } {
    const over = new AbortController();
    const ended = Promise.race(reports.send(deployment.rpc, over.signal)).then(
      () => "ended quietly",
      (error: unknown) => error,
    );
    return { end: () => over.abort(new Error("connection over")), ended };
  }

  it("are repeated on the next connection, in order, when one fails", async () => {
    const deployment = new Deployment();
    const failure = new Error("connection lost");
    deployment.failure = failure;
    say("one");
    reports.scriptCompleted(TIMING);
    metadata.update([{ key: "a", script: "a", intervalMs: 0, timeoutMs: 0 }]);
    const first = connect(deployment);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await first.ended).toBe(failure);
    expect(reports.unsent).toBe(true);
    say("two");
    deployment.failure = undefined;
    first.end();
    await vi.advanceTimersByTimeAsync(4_000);
    const second = connect(deployment);
    await vi.advanceTimersByTimeAsync(1_000);
    say("three");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(deployment.lines).toEqual(["one", "two", "three"]);
    expect(deployment.timings).toMatchObject([{ timing: { exitCode: 3, stage: 0, status: 1 } }]);
    expect(deployment.metadata).toEqual(["a=a 5"]);
    expect(reports.unsent).toBe(false);
    second.end();
    say("after the end");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(deployment.lines).toHaveLength(3);
  });

  it("leave nothing behind of a connection that ended", async () => {
    const over = new AbortController();
    const loops = reports.send(new Deployment().rpc, over.signal);
    await vi.advanceTimersByTimeAsync(2_000);
    over.abort(new Error("connection over"));
    for (const end of await Promise.allSettled(loops))
      expect(end).toMatchObject({ status: "rejected", reason: { message: "connection over" } });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("go on when the deployment keeps no more output", async () => {
    const deployment = new Deployment();
    deployment.logLimitExceeded = true;
    const { end } = connect(deployment);
    say("one");
    await vi.advanceTimersByTimeAsync(1_000);
    say("two");
    reports.scriptCompleted(TIMING);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(deployment.lines).toEqual(["one"]);
    expect(deployment.timings).toHaveLength(1);
    expect(reports.unsent).toBe(false);
    end();
  });

  it("do without timings where the deployment does not know them", async () => {
    const deployment = new Deployment();
    deployment.unknown = "ScriptCompleted";
    const { end } = connect(deployment);
    reports.scriptCompleted(TIMING);
    reports.scriptCompleted(TIMING);
    await vi.advanceTimersByTimeAsync(100);
    say("one");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(deployment.timings).toEqual([]);
    expect(deployment.lines).toEqual(["one"]);
    expect(reports.unsent).toBe(false);
    end();
  });
});
