import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { findPostgres } from "./postgres-server.ts";
import { RELAYED, TestCluster } from "./test-cluster.ts";

const SERVERS = 3;
const AHEAD = 1;
const MINUTE_MS = 60_000;
const eventually = { timeout: 120_000, interval: 100 };
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

describe.skipIf(binaries === undefined)(
  `three servers, one of whose clocks is 5 minutes ahead (missing here: ${missing})`,
  () => {
    let cluster: TestCluster;

    beforeAll(async () => {
      cluster = await TestCluster.start({
        servers: SERVERS,
        binaries: binaries!,
        nodeArguments: (index) =>
          index === AHEAD ? ["--require", join(import.meta.dirname, "shifted-clock.cjs")] : [],
      });
      await cluster.startWorkspace("demo");
    });
    afterAll(async () => {
      await cluster?.close();
    });

    const indices = [...Array(SERVERS).keys()];
    const post = async (index: number, path: string, body: object): Promise<Record<string, string>> => {
      const answer = await cluster.api(index, path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      expect(answer.status).toBe(201);
      return (await answer.json()) as Record<string, string>;
    };

    it("accept each other's tokens, however short they last", async () => {
      for (const from of indices) {
        const lifetime = 4 * MINUTE_MS * 1_000_000;
        const { key } = await post(from, "/api/v2/users/me/keys/tokens", { lifetime, token_name: `from-${from}` });
        for (const at of indices) {
          const answer = await cluster.api(at, "/api/v2/users/me", { headers: { "Coder-Session-Token": key! } });
          expect({ from, at, status: answer.status }).toEqual({ from, at, status: 200 });
        }
      }
      const tokens = (await (await cluster.api(0, "/api/v2/users/me/keys/tokens")).json()) as { created_at: string }[];
      expect(tokens).toHaveLength(SERVERS);
      for (const { created_at: made } of tokens)
        expect(Math.abs(Date.parse(made) - Date.now())).toBeLessThan(2 * MINUTE_MS);
    });

    it("agree on the workspace and its agent, whose sessions last", async () => {
      const open = await cluster.openSessions("demo");
      for (const index of indices) {
        await vi.waitFor(async () => {
          const answer = await cluster.api(index, "/api/v2/users/me/workspace/demo");
          const { latest_build: build } = (await answer.json()) as {
            latest_build: {
              created_at: string;
              resources: { agents: { status: string; last_connected_at: string }[] }[];
            };
          };
          const [agent] = build.resources[0]!.agents;
          expect(agent!.status).toBe("connected");
          for (const time of [build.created_at, agent!.last_connected_at])
            expect(Date.parse(time) - Date.now()).toBeLessThan(2 * MINUTE_MS);
        }, eventually);
      }
      for (let run = 0; run < SERVERS; run++) {
        const done = await cluster.run(["ssh", "demo", "--", "echo", "here"], run % 2 === 0 ? {} : RELAYED);
        expect(done).toMatchObject({ code: 0, stdout: "here\n" });
      }
      // The agent and its clients move away from the server whose clock is ahead.
      await cluster.stopServer(AHEAD, "SIGKILL");
      for (const session of open) await session.goesOn(20);
      await cluster.startServer(AHEAD);
      for (const session of open) await session.end();
    });
  },
);
