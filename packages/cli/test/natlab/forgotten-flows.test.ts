/** A router loses the flows of an idle agent, which receives nothing then but must soon be reachable again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "./deadline.ts";
import { type Agent, Deployment } from "./deployment.ts";
import { missingTools } from "./lab.ts";
import { type Site, Topology } from "./topology.ts";

const missing = missingTools("ip", "nft", "conntrack");
/** Limit from the loss of the flows until a client can connect, and for the first byte of an ssh started right after it. */
const REACHABLE_WITHIN_MS = 30_000;

describe.skipIf(missing.length > 0)(
  `an idle agent and its router (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let folder: string;
    let topology: Topology | undefined;
    let deployment: Deployment;
    let agentSite: Site;
    let clientSite: Site;
    let agent: Agent;

    const connections = (): number => agent.log.split("connected to the control plane").length - 1;

    /** Duration of one `coder ssh`, from start to end. */
    function connect(...flags: readonly string[]): number {
      const started = performance.now();
      const words = deployment.cli(clientSite.host, "ssh", ...flags, agent.workspace, "--", "echo", "there");
      expect(words).toBe("there\n");
      return Math.round(performance.now() - started);
    }

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "coder-forgotten-"));
      topology = new Topology();
      const server = topology.addServer();
      agentSite = topology.addSite({ nat: "easy" });
      clientSite = topology.addSite({ nat: "easy" });
      // The router treats an unknown flow as invalid, even from inside, as strict home routers do.
      agentSite.router.sysctl("net.netfilter.nf_conntrack_tcp_loose=0");
      agentSite.router.nft(`table ip strict {
        chain fw { type filter hook forward priority -5; ct state invalid drop
        }
      }`);
      deployment = new Deployment({ host: server, folder, flags: ["--derp-server-stun-addresses", "disable"] });
      await deployment.start();
      agent = deployment.startAgent(agentSite.host);
      connect();
    });

    afterAll(async () => {
      await topology?.close();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    it.each([
      ["by relay only", ["--disable-direct-connections"]],
      ["with UDP open on both sides", []],
    ])("is reached within 30 s after the router forgot everything, %s", async (_words, flags) => {
      await sleep(5_000); // earlier clients are gone, and the agent is idle
      const before = connections();
      const started = performance.now();
      agentSite.flushMappings();
      await until("the control connection", REACHABLE_WITHIN_MS, () => connections() > before);
      const controlMs = Math.round(performance.now() - started);
      const sshMs = connect(...flags);
      console.log(`control back after ${controlMs} ms, ssh took ${sshMs} ms`);
      expect(performance.now() - started).toBeLessThan(REACHABLE_WITHIN_MS);
    });

    it("answers an ssh that comes while only the relay connection is forgotten", async () => {
      await sleep(5_000);
      // Idle for longer than the router keeps it. This never happens to the control connection, which the server pings.
      const flows = agentSite.router.run("conntrack", ["-L", "-p", "tcp"]).split("\n").filter(Boolean);
      expect(flows.length).toBeGreaterThanOrEqual(2);
      agentSite.router.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established=40");
      agentSite.flushMappings();
      const before = connections();
      await until("the control connection", REACHABLE_WITHIN_MS, () => connections() > before);
      await sleep(55_000);
      expect(connections()).toBe(before + 1);
      const sshMs = connect("--disable-direct-connections");
      console.log(`ssh took ${sshMs} ms`);
      expect(sshMs).toBeLessThan(10_000);
    });
  },
);
