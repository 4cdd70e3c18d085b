/** One session survives a series of outages. Reports for each how long the session was silent; no line may be lost. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BACK_WITHIN_MS, COUNT, Counter } from "./counter.ts";
import { until } from "./deadline.ts";
import { type Agent, Deployment, PORT } from "./deployment.ts";
import { missingTools } from "./lab.ts";
import { type Site, Topology } from "./topology.ts";

const missing = missingTools("ip", "nft", "conntrack");
/** How long the session is watched after an outage; a later gap counts for the next one. */
const WATCH_MS = 5_000;
const FROZEN_MS = 90_000;

describe.skipIf(missing.length > 0)(`one session (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let folder: string;
  let topology: Topology | undefined;
  let deployment: Deployment;
  let home: Site;
  let office: Site;
  let agent: Agent;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "coder-survival-"));
    topology = new Topology();
    const host = topology.addServer();
    deployment = new Deployment({ host, folder, flags: ["--derp-server-stun-addresses", "disable"] });
    await deployment.start();
    home = topology.addSite({ nat: "easy" });
    office = topology.addSite({ nat: "easy" });
    agent = deployment.startAgent(office.host);
  });

  afterAll(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it("survives every cut, reset, flush, move, freeze and restart, with no line missing and none twice", {
    timeout: 400_000,
  }, async () => {
    const session = deployment.openSession(home.host, agent, COUNT);
    const counter = new Counter(session);
    await until("the session", 30_000, () => counter.last > 0);
    await session.untilDirect(20_000);
    await counter.goesOn("before the first blow");
    const report: string[] = [];

    /** Causes one outage and reports the event, the length of the silence and the session's path afterwards. */
    async function blow(what: string, strike: () => void | Promise<void>, deliberateMs = 0): Promise<void> {
      const knownPaths = session.paths.length;
      counter.markGap();
      const struck = performance.now();
      try {
        await strike();
        await counter.goesOn(what);
        await sleep(WATCH_MS);
        counter.check();
      } catch (error) {
        throw new Error(
          `${what}: ${(error as Error).message}\n${report.join("\n")}\n--- ssh\n${session.log}\n--- agent\n${agent.log}`,
          { cause: error },
        );
      } finally {
        const after = (atMs: number): number => Math.round(session.started + atMs - struck);
        const ways = session.paths.slice(knownPaths).map(({ atMs, path }) => `${path} after ${after(atMs)} ms`);
        report.push(`${what}: silent for ${counter.gapMs - deliberateMs} ms; ${ways.join(", ") || "same path"}`);
      }
      expect(counter.gapMs - deliberateMs, report.join("\n")).toBeLessThan(BACK_WITHIN_MS);
    }

    /** Waits until the path is direct again after an outage has ended. */
    async function directAgain(what: string): Promise<void> {
      const ms = await until(`${what}: a direct path again`, 60_000, () => session.direct);
      report.push(`${what}: direct again ${Math.round(ms)} ms after the watch`);
    }

    let heal = (): void => {};
    try {
      await blow("relay connections of both sides reset", async () => {
        const restores = [home.host.resetConnections(PORT), office.host.resetConnections(PORT)];
        await sleep(500);
        for (const restore of restores) restore();
      });
      await blow("UDP cut at the client's router", () => {
        heal = home.cutUdp();
      });
      expect(session.direct).toBe(false);
      await blow("relay connections reset while the session is relayed", async () => {
        const restores = [home.host.resetConnections(PORT), office.host.resetConnections(PORT)];
        await sleep(500);
        for (const restore of restores) restore();
      });
      await blow("UDP healed", () => heal());
      await directAgain("UDP healed");
      await blow("mappings of the client's router flushed", () => home.flushMappings());
      await blow("mappings of both routers flushed", () => {
        home.flushMappings();
        office.flushMappings();
      });
      await directAgain("mappings flushed");
      await blow("client's address changed", () => home.host.changeAddress(home.host.address.replace(/\d+$/, "77")));
      await directAgain("client's address changed");
      await blow("agent's address changed", () => office.host.changeAddress(office.host.address.replace(/\d+$/, "77")));
      await directAgain("agent's address changed");
      await blow("server killed and started again 2 s later", async () => {
        await deployment.kill();
        await sleep(2_000);
        await deployment.start();
      });
      await blow("UDP cut after the restart", () => {
        heal = home.cutUdp();
      });
      await blow("UDP healed after the restart", () => heal());
      await directAgain("UDP healed after the restart");
      await blow(
        `client frozen for ${FROZEN_MS / 1_000} s`,
        async () => {
          const thaw = home.host.freeze();
          await sleep(FROZEN_MS);
          thaw();
        },
        FROZEN_MS,
      );
      await directAgain("client frozen");
      await session.stop();
    } finally {
      console.log(report.join("\n"));
    }
    expect(counter.last).toBeGreaterThan(1_000);
  });
});
