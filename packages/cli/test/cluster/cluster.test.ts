import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { findPostgres } from "./postgres-server.ts";
import { RELAYED, TestCluster } from "./test-cluster.ts";

const SERVERS = 3;
const RUNS = 8;
const eventually = { timeout: 120_000, interval: 100 };
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

describe.skipIf(binaries === undefined)(`three servers behind a balancer (missing here: ${missing})`, () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start({ servers: SERVERS, binaries: binaries! });
    await cluster.startWorkspace("demo");
  });
  afterAll(async () => {
    await cluster?.close();
  });

  it("reach a workspace every time, whichever servers its agent and its clients are connected to", async () => {
    for (let run = 0; run < RUNS; run++) {
      const done = await cluster.run(["ssh", "demo", "--", "echo", `run ${run}`], run % 2 === 0 ? {} : RELAYED);
      expect(done).toMatchObject({ code: 0, stdout: `run ${run}\n` });
    }
  });

  it("list each other", async () => {
    for (let index = 0; index < SERVERS; index++) {
      await vi.waitFor(async () => {
        const replicas = (await (await cluster.api(index, "/api/v2/replicas")).json()) as { error: string }[];
        expect(replicas.map(({ error }) => error)).toEqual(["", "", ""]);
      }, eventually);
    }
  });

  it("keep sessions while each of them is killed, and take new ones at once", async () => {
    const open = await cluster.openSessions("demo");
    for (let index = 0; index < SERVERS; index++) {
      await cluster.stopServer(index, "SIGKILL");
      for (const session of open) await session.goesOn(20);
      expect(await cluster.run(["ssh", "demo", "--", "echo", "new"])).toMatchObject({ code: 0, stdout: "new\n" });
      await cluster.startServer(index);
    }
    for (const session of open) await session.end();
  });

  it("keep sessions while the database is away, answer that it is, and go on when it is back", async () => {
    const open = await cluster.openSessions("demo");
    await cluster.postgres.halt();
    await vi.waitFor(async () => {
      const answer = await cluster.api(0, "/api/v2/users/me");
      expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([
        503,
        "The database does not answer.",
      ]);
    }, eventually);
    for (const session of open) await session.goesOn(20);
    await cluster.postgres.start();
    await vi.waitFor(async () => expect((await cluster.api(0, "/api/v2/users/me")).status).toBe(200), eventually);
    for (const session of open) await session.end();
    await vi.waitFor(
      async () => expect((await cluster.run(["ssh", "demo", "--", "echo", "after"])).stdout).toBe("after\n"),
      eventually,
    );
  });
});
