/** A killed command leaves nothing behind on the agent; one that only lost its control connection continues. */
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { runAgent } from "coder-agent/main";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";
import { listeningSockets } from "./sockets.ts";

/** Instead of the default of two minutes. */
const GONE_AFTER_MS = 3_000;
const POLL = { timeout: 30_000, interval: 50 };
const CLOSED = "a control connection was closed without a goodbye";
const GONE = "a client is gone without a goodbye: its connections end";

describe("coder ssh, without a disconnect", () => {
  let deployment: TestDeployment;
  let front: Server;
  /** The front's control connections of clients, and whether it lets any through. */
  const controls = new Set<Socket>();
  let open = true;
  /** Log lines since the test began, with their peer. */
  const agentLog: { message: string; peer: unknown }[] = [];
  const stop = new AbortController();
  let agent: Promise<void>;

  beforeAll(async () => {
    deployment = await TestDeployment.start(async (port) => {
      front = createServer((near) => {
        const far = connect({ host: "127.0.0.1", port });
        for (const [one, other] of [
          [near, far],
          [far, near],
        ] as const) {
          one.on("error", () => undefined);
          one.on("close", () => other.destroy());
        }
        // Also later requests of a kept-alive connection.
        near.on("data", (chunk) => {
          if (/^GET \S+\/coordinate\b/.test(chunk.toString("latin1"))) controls.add(near);
          if (!open && controls.has(near)) near.destroy();
          else far.write(chunk);
        });
        far.pipe(near);
      });
      await once(front.listen(0, "127.0.0.1"), "listening");
      return `http://127.0.0.1:${(front.address() as { port: number }).port}`;
    });
    const options = {
      url: new URL(deployment.directUrl),
      token: await deployment.createWorkspace("demo"),
      sshMaxTimeoutMs: 72 * 3_600_000,
      goneAfterMs: GONE_AFTER_MS,
      blockFileTransfer: false,
      logDirectory: deployment.folder,
      logger: {
        level: "info",
        log: (_level: string, message: string, fields?: Readonly<Record<string, unknown>>) =>
          void agentLog.push({ message, peer: fields?.["peer"] }),
      } as const,
      version: "test",
    };
    agent = runAgent(options, stop.signal);
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  beforeEach(() => {
    agentLog.length = 0;
  });

  afterAll(async () => {
    stop.abort();
    await agent;
    await deployment?.close();
    front?.close();
  });

  async function closedPeer(): Promise<unknown> {
    const peer = () => agentLog.find(({ message }) => message === CLOSED)?.peer;
    await expect.poll(peer, POLL).toBeDefined();
    return peer();
  }

  function isGone(peer: unknown): boolean {
    return agentLog.some((entry) => entry.message === GONE && entry.peer === peer);
  }

  it("a killed command's program and remote port end", async () => {
    const file = join(deployment.folder, "killed");
    const port = await freePort();
    const loop = `echo $$ > ${file}.new; mv ${file}.new ${file}; while :; do sleep 0.1; done`;
    const command = deployment.spawn(["ssh", "-R", `${port}:127.0.0.1:1`, "demo", "--", loop], {});
    await expect.poll(() => existsSync(file), POLL).toBe(true);
    await expect.poll(() => isListening(port), POLL).toBe(true);
    const pid = Number(readFileSync(file, "utf8"));
    command.kill("SIGKILL");
    await expect.poll(() => isAlive(pid), POLL).toBe(false);
    await expect.poll(() => isListening(port), POLL).toBe(false);
    expect(isGone(await closedPeer())).toBe(true);
  }, 60_000);

  it("a command whose control connection was cut by an intermediary continues", async () => {
    const command = deployment.spawn(["ssh", "demo", "--", "while echo alive; do sleep 0.1; done"], {});
    const lines = createInterface({ input: command.stdout! });
    await once(lines, "line");
    open = false;
    for (const control of controls) control.destroy();
    const peer = await closedPeer();
    // The number of lines shows that more than the time-out has passed: the remote side pauses after each.
    for (let left = (1.5 * GONE_AFTER_MS) / 100; left > 0; left--) await once(lines, "line");
    expect(isGone(peer)).toBe(false);
    expect(command.exitCode).toBeNull();
    command.kill("SIGTERM");
    await once(command, "exit");
    open = true;
  }, 60_000);

  it("a command that was mistaken for a killed one learns of it when it is back", async () => {
    const command = deployment.spawn(["ssh", "demo", "--", "while echo alive; do sleep 0.1; done"], {});
    let errors = "";
    command.stderr!.on("data", (chunk: Buffer) => {
      errors += chunk.toString("utf8");
    });
    command.stdout!.resume();
    await once(command.stdout!, "data");
    open = false;
    command.kill("SIGSTOP");
    for (const control of controls) control.destroy();
    const peer = await closedPeer();
    await expect.poll(() => isGone(peer), POLL).toBe(true);
    command.kill("SIGCONT");
    const [code] = await once(command, "close");
    open = true;
    expect([code, errors]).toEqual([255, expect.stringContaining("Connection to the workspace was lost")]);
  }, 60_000);
});

/** Whether a port is open; the agent runs in this process. */
function isListening(port: number): boolean {
  return listeningSockets(process.pid).includes(`127.0.0.1:${port}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
