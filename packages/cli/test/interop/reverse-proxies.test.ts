/** A deployment behind each reverse proxy for which deploy/reverse-proxy has a configuration. */
import type { ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type RequestOptions, request } from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { exchange, Forwarding } from "../e2e/forwarded-workspace.ts";
import { freePort } from "../free-port.ts";
import { missingTools } from "../natlab/lab.ts";
import { IDLE_SECONDS, REVERSE_PROXIES, type ReverseProxy, RunningProxy } from "./reverse-proxies.ts";

const WAIT_MS = 120_000;
const PROGRAM = randomBytes(3 << 20);
/** Source address of the test's requests; the proxy itself is 127.0.0.1. */
const CLIENT = "127.0.0.2";

/** A deployment behind a proxy, with two idle connections: a shell, and an agent without clients. */
class Fronted {
  readonly deployment: TestDeployment;
  readonly proxy: RunningProxy;
  readonly shell: Said;
  readonly lone: Said;
  readonly server: Said;
  /** When the shell fell silent, and how much it had written until then. */
  idleSince = 0;
  saidBefore = 0;

  static async start(kind: ReverseProxy): Promise<Fronted> {
    let proxy: RunningProxy | undefined;
    const deployment = await TestDeployment.start(async (port, folder) => {
      proxy = await RunningProxy.start(kind, port, folder);
      mkdirSync(join(folder, "programs"));
      writeFileSync(join(folder, "programs/coder-linux-amd64"), PROGRAM);
      return {
        url: proxy.url,
        environment: {
          CODER_CA_FILE: proxy.certificate,
          CODER_PROXY_TRUSTED_ORIGINS: "127.0.0.1",
          CODER_PROXY_TRUSTED_HEADERS: "X-Forwarded-For",
          CODER_LOG_FORMAT: "json",
          CODER_BINARIES_DIR: join(folder, "programs"),
        },
      };
    }).catch(async (error: unknown) => {
      await proxy?.close();
      throw error;
    });
    const [lone, idle, demo] = await Promise.all(
      ["lone", "idle", "demo"].map(async (name) =>
        deployment.startAgent(await deployment.createWorkspace(name), { CODER_VERBOSE: "true" }),
      ),
    );
    for (const agent of [idle!, demo!]) agent.stderr!.resume();
    const command = ["ssh", "-v", "--disable-direct-connections", "idle", "--", "cat"];
    const fronted = new Fronted(deployment, proxy!, lone!, deployment.spawn(command, {}));
    fronted.shell.child.stdin!.write("before\n");
    await fronted.shell.says("before");
    fronted.idleSince = Date.now();
    fronted.saidBefore = fronted.shell.text.length;
    return fronted;
  }

  private constructor(deployment: TestDeployment, proxy: RunningProxy, lone: ChildProcess, shell: ChildProcess) {
    this.deployment = deployment;
    this.proxy = proxy;
    this.server = new Said(deployment.server!);
    this.lone = new Said(lone);
    this.shell = new Said(shell);
  }

  /** Sends a request from {@link CLIENT} through the proxy. */
  ask(path: string, options: RequestOptions = {}, body = ""): Promise<{ status: number; body: Buffer }> {
    const ca = readFileSync(this.proxy.certificate);
    return new Promise((resolve, reject) => {
      // The proxies of the test listen on IPv4.
      const all = { ...options, ca, family: 4, localAddress: CLIENT, agent: false };
      const asked = request(`${this.proxy.url}${path}`, all, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => resolve({ status: answer.statusCode!, body: Buffer.concat(chunks) }));
        answer.on("error", reject);
      });
      asked.on("error", reject);
      asked.end(body);
    });
  }

  async close(): Promise<void> {
    await this.deployment.close();
    await this.proxy.close();
  }
}

/** The output of a process so far. */
class Said {
  readonly child: ChildProcess;
  text = "";

  constructor(child: ChildProcess) {
    this.child = child;
    for (const stream of [child.stdout!, child.stderr!])
      stream.on("data", (chunk) => {
        this.text += String(chunk);
      });
  }

  async says(words: string | RegExp): Promise<void> {
    await vi
      .waitUntil(() => this.text.search(words) >= 0, { timeout: WAIT_MS })
      .catch((cause: unknown) => {
        throw new Error(`it never said ${words}: ${this.text}`, { cause });
      });
  }
}

const programs = REVERSE_PROXIES.map(({ program }) => program);
const missing = missingTools("openssl", ...programs).filter((name) => name !== "root");
const here = REVERSE_PROXIES.filter(({ program }) => !missing.includes(program) && !missing.includes("openssl"));

describe.skipIf(here.length === 0)(`reverse proxies (missing here: ${missing.join(", ") || "nothing"})`, () => {
  const running = new Map<string, Fronted>();
  const behind = ({ program }: ReverseProxy): Fronted => {
    const fronted = running.get(program);
    if (fronted === undefined) throw new Error(`nothing runs behind ${program}`);
    return fronted;
  };

  beforeAll(async () => {
    // One after the other, so that a busy machine can start them; afterwards all are idle at the same time.
    for (const kind of here) running.set(kind.program, await Fronted.start(kind));
  });

  afterAll(async () => {
    await Promise.all([...running.values()].map((fronted) => fronted.close()));
  });

  describe.each(here)("$program", (kind) => {
    it("leads a login and a command to the workspace by the relay", async () => {
      const { deployment } = behind(kind);
      const done = await deployment.run(["ssh", "-v", "--disable-direct-connections", "demo", "--", "echo through"]);
      expect(done.stdout, done.stderr).toBe("through\n");
      const byWebSocket = /relay by WebSocket/i.test(done.stderr);
      expect(byWebSocket ? "websocket" : "raw", done.stderr).toBe(kind.relay);
    });

    it("carries 8 MiB through a forwarded port and 1 MiB back, unchanged", async () => {
      const { deployment } = behind(kind);
      const [port, inside] = [await freePort(), await freePort()];
      const hashing = deployment.spawnProgram(`
        const hash = require("node:crypto").createHash("sha256");
        require("node:net").createServer({ allowHalfOpen: true }, (socket) => {
          socket.on("data", (chunk) => hash.update(chunk));
          socket.on("end", () => { socket.write(Buffer.alloc(1 << 20, 7)); socket.end(hash.digest()); });
        }).listen(${inside}, "127.0.0.1", () => console.log("listening"));
      `);
      await new Said(Object.assign(hashing, { stderr: hashing.stdout })).says("listening");
      const forwarding = new Forwarding(
        deployment.spawn(["port-forward", "--disable-direct-connections", "demo", "--tcp", `${port}:${inside}`], {}),
      );
      await forwarding.says("Ready!");
      const payload = randomBytes(8 << 20);
      const answer = await exchange(port, payload);
      expect(answer.subarray(0, -32).equals(Buffer.alloc(1 << 20, 7))).toBe(true);
      expect(answer.subarray(-32)).toEqual(createHash("sha256").update(payload).digest());
      await forwarding.end();
    });

    it("reports the client's address, whatever the client claims", async () => {
      const fronted = behind(kind);
      const forged = {
        "X-Forwarded-For": "203.0.113.9, 127.0.0.1",
        "X-Real-IP": "203.0.113.9",
        Forwarded: "for=203.0.113.9",
      };
      const login = { method: "POST", headers: { ...forged, "Content-Type": "application/json" } };
      const body = JSON.stringify({ email: `${kind.program}@example.com`, password: "not the password" });
      expect((await fronted.ask("/api/v2/users/login", login, body)).status).toBe(401);
      await fronted.server.says(`${kind.program}@example.com`);
      const line = fronted.server.text.split("\n").find((text) => text.includes(`${kind.program}@example.com`))!;
      expect(JSON.parse(line)).toMatchObject({ audit: "login-refused", address: CLIENT });
    });

    it("hands out programs, whole and in ranges", async () => {
      const fronted = behind(kind);
      const whole = await fronted.ask("/bin/coder-linux-amd64");
      expect([whole.status, whole.body.equals(PROGRAM)]).toEqual([200, true]);
      const part = await fronted.ask("/bin/coder-linux-amd64", { headers: { Range: "bytes=1000000-1999999" } });
      expect([part.status, part.body.equals(PROGRAM.subarray(1_000_000, 2_000_000))]).toEqual([206, true]);
    });

    it("sends plain http to https", async () => {
      const answer = await fetch(`${behind(kind).proxy.plainUrl.replace("localhost", "127.0.0.1")}/install.sh`, {
        headers: { Host: "localhost" },
        redirect: "manual",
      });
      expect([301, 308]).toContain(answer.status);
      expect(answer.headers.get("location")).toMatch(/^https:\/\/.*\/install\.sh$/);
    });
  });

  describe.each(here)("$program, of what is idle", (kind) => {
    it.runIf(kind.hasIdleTimeout)("ends silent connections: its time-out is in force", async () => {
      // An agent without clients receives only the relay's keepalive, every 45 s.
      // Several attempts to connect, as on a busy machine, are allowed here.
      await behind(kind).lone.says(/^(?!.*no relay answered).*relay connection ended/m);
    });

    it("keeps an idle shell connected", async () => {
      const fronted = behind(kind);
      await sleep(Math.max(0, fronted.idleSince + (IDLE_SECONDS + 3) * 1000 - Date.now()));
      fronted.shell.child.stdin!.write("after\n");
      await fronted.shell.says("after");
      expect(fronted.shell.text.slice(fronted.saidBefore)).not.toContain("relay connection ended");
    });
  });
});
