/**
 * Sessions survive outages of the network: the relay cut off, the control plane killed, the agent's network gone for a minute.
 */
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until, within } from "./deadline.ts";
import { Lab, type LabHost, missingTools } from "./lab.ts";

const missing = missingTools("ip", "nft");
const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const PORT = 3000;
const BULK_BYTES = 150_000_000;
/** Limit for a session to continue once the network does. */
const RESUME_WITHIN_MS = 5_000;
/** Limit for the whole transfer, once both cuts are over. */
const TRANSFER_MS = 120_000;
const EXIT_MS = 10_000;

describe.skipIf(missing.length > 0)(
  `sessions in a real network (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let lab: Lab;
    let serverHost: LabHost;
    let agentHost: LabHost;
    let laptop: LabHost;
    let folder: string;
    let server: ChildProcess;
    let url: string;
    let environment: NodeJS.ProcessEnv;

    function startServer(): ChildProcess {
      return serverHost.spawn(
        process.execPath,
        [
          coder,
          "server",
          "--http-address",
          `0.0.0.0:${PORT}`,
          "--access-url",
          url,
          "--cache-dir",
          join(folder, "server"),
          // Without a direct path, the outages of relay and server affect every session.
          "--block-direct-connections",
          "--stun-address",
          "disable",
        ],
        { stdio: ["ignore", "ignore", "pipe"], env: environment },
      );
    }

    function cli(...args: readonly string[]): string {
      return laptop.run(process.execPath, [coder, ...args], { env: environment });
    }

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "coder-lab-"));
      lab = new Lab();
      [serverHost, agentHost, laptop] = [lab.addHost(), lab.addHost(), lab.addHost()];
      url = `http://${serverHost.address}:${PORT}`;
      environment = {
        PATH: process.env["PATH"],
        HOME: folder,
        CODER_CONFIG_DIR: join(folder, "config"),
        CODER_FIRST_USER_PASSWORD: "a password for the lab",
      };
      server = startServer();
      await until("the server", 20_000, () => {
        try {
          cli("login", url, "--first-user-username", "lab", "--first-user-email", "lab@example.com");
          return true;
        } catch {
          return false; // the server does not listen yet
        }
      });
      const made = JSON.parse(cli("external-workspaces", "create", "demo", "--output", "json")) as {
        auth_token: string;
      };
      agentHost.spawn(process.execPath, [coder, "agent"], {
        stdio: ["ignore", "ignore", "ignore"],
        env: { ...environment, CODER_AGENT_URL: url, CODER_AGENT_TOKEN: made.auth_token },
      });
      expect(cli("ssh", "demo", "--", "echo", "hello")).toBe("hello\n");
    });

    afterAll(async () => {
      await lab?.close();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    /** A session that counts forever; `last` is the last number received. Any gap is a failure. */
    function counting(): { readonly last: () => number; readonly stop: () => Promise<void> } {
      const child = laptop.spawn(
        process.execPath,
        [coder, "ssh", "demo", "--", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"],
        { stdio: ["ignore", "pipe", "inherit"], env: environment },
      );
      let last = 0;
      let rest = "";
      let ended = false;
      child.stdout!.on("data", (chunk: Buffer) => {
        const lines = (rest + chunk.toString("utf8")).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
          if (Number(line) !== last + 1) throw new Error(`after ${last} came "${line}"`);
          last++;
        }
      });
      child.once("exit", () => {
        ended = true;
      });
      return {
        last: () => {
          if (ended) throw new Error(`the session ended after ${last}`);
          return last;
        },
        stop: async () => {
          if (ended) return;
          const over = once(child, "exit");
          child.kill("SIGTERM");
          await within("the end of coder ssh after SIGTERM", EXIT_MS, over);
        },
      };
    }

    it("continues within 5 s after every relay and control connection was reset, with no byte of a transfer lost", async () => {
      const file = join(folder, "bulk");
      const data = Buffer.alloc(BULK_BYTES);
      for (let i = 0; i + 4 <= data.length; i += 4) data.writeUInt32LE(Math.imul(i + 1, 0x9e3779b1) >>> 0, i);
      writeFileSync(file, data);
      const session = counting();
      await until("the session", 20_000, () => session.last() > 0);
      const transfer = laptop.spawn(process.execPath, [coder, "ssh", "demo", "--", `cat ${file}`], {
        stdio: ["ignore", "pipe", "inherit"],
        env: environment,
      });
      const hash = createHash("sha256");
      let received = 0;
      transfer.stdout!.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        received += chunk.length;
      });
      const over = once(transfer, "close");
      for (const host of [agentHost, laptop]) {
        await until("the transfer", 30_000, () => received > (host === agentHost ? 1 : 3) * 10_000_000);
        const restore = host.resetConnections(PORT);
        await sleep(1_000);
        restore();
        const before = { last: session.last(), received };
        await until("the session after the cut", RESUME_WITHIN_MS, () => session.last() > before.last);
        await until("the transfer after the cut", RESUME_WITHIN_MS, () => received > before.received);
      }
      expect((await within("the end of the transfer", TRANSFER_MS, over))[0]).toBe(0);
      expect(received).toBe(BULK_BYTES);
      expect(hash.digest("hex")).toBe(createHash("sha256").update(data).digest("hex"));
      await session.stop();
    });

    it("continues when the control plane is killed and started again", async () => {
      const session = counting();
      await until("the session", 20_000, () => session.last() > 0);
      const killed = once(server, "exit");
      server.kill("SIGKILL");
      await within("the end of the killed server", EXIT_MS, killed);
      await sleep(2_000);
      const during = session.last();
      server = startServer();
      await until("the session after the restart", 20_000, () => session.last() > during + 5);
      expect(cli("ssh", "demo", "--", "echo", "again")).toBe("again\n");
      await session.stop();
    });

    it("continues after the agent's network was gone for 60 s", async () => {
      const session = counting();
      await until("the session", 20_000, () => session.last() > 0);
      agentHost.link("down");
      await sleep(1_000);
      const during = session.last();
      await sleep(60_000);
      expect(session.last()).toBeLessThanOrEqual(during + 1);
      agentHost.link("up");
      await until("the session after the outage", 30_000, () => session.last() > during + 5);
      await session.stop();
    });
  },
);
