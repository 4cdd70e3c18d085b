/** A workspace with a server in it, and the `coder port-forward` processes that reach it. */
import type { ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { TestDeployment } from "./deployment.ts";

/** Sent by the server before the SHA-256 of everything that it received, which follows the end of the sender's half. */
export const ANSWER = randomBytes(1 << 20);

export class ForwardedWorkspace {
  readonly deployment: TestDeployment;
  readonly token: string;
  agent: ChildProcess;
  readonly #hashing: Server;
  readonly #running: Forwarding[] = [];

  static async start(): Promise<ForwardedWorkspace> {
    const deployment = await TestDeployment.start();
    const token = await deployment.createWorkspace("demo");
    const hashing = createServer({ allowHalfOpen: true }, (socket) => {
      const hash = createHash("sha256");
      socket.on("data", (chunk) => hash.update(chunk));
      socket.on("error", () => undefined); // a client that went away
      socket.on("end", () => {
        socket.write(ANSWER);
        socket.end(hash.digest());
      });
    }).listen(0, "127.0.0.1");
    await once(hashing, "listening");
    const workspace = new ForwardedWorkspace(deployment, token, hashing);
    const done = await deployment.run(["ssh", "demo", "--", "true"]);
    if (done.code !== 0) throw new Error(done.stderr);
    return workspace;
  }

  private constructor(deployment: TestDeployment, token: string, hashing: Server) {
    this.deployment = deployment;
    this.token = token;
    this.#hashing = hashing;
    this.agent = deployment.startAgent(token);
  }

  /** Port of the server that answers with {@link ANSWER} and the digest of what it received. */
  get hashingPort(): number {
    return (this.#hashing.address() as AddressInfo).port;
  }

  async forward(...args: string[]): Promise<Forwarding> {
    const forwarding = new Forwarding(this.deployment.spawn(["port-forward", "demo", ...args], {}));
    this.#running.push(forwarding);
    await forwarding.says("Ready!");
    return forwarding;
  }

  async endForwards(): Promise<void> {
    for (const forwarding of this.#running.splice(0)) await forwarding.end();
  }

  async close(): Promise<void> {
    this.#hashing.close();
    await this.deployment.close();
  }
}

/** A running `coder port-forward`. */
export class Forwarding {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.on("data", (chunk) => {
      this.stdout += String(chunk);
    });
    child.stderr!.on("data", (chunk) => {
      this.stderr += String(chunk);
    });
  }

  /** Waits for the first line that contains these words. */
  async says(words: string | RegExp): Promise<string> {
    const until = Date.now() + 40_000;
    for (;;) {
      const line = this.stderr
        .split("\n")
        .find((text) => (typeof words === "string" ? text.includes(words) : words.test(text)));
      if (line !== undefined) return line;
      if (Date.now() > until || this.child.exitCode !== null) throw new Error(`it never said ${words}: ${this.stderr}`);
      await sleep(20);
    }
  }

  async end(): Promise<{ code: number | null; stdout: string }> {
    if (this.child.exitCode === null) {
      this.child.kill("SIGTERM");
      await once(this.child, "close");
    }
    return { code: this.child.exitCode, stdout: this.stdout };
  }
}

/** Sends everything, ends its half, and returns everything that was received. */
export async function exchange(port: number, payload: Buffer): Promise<Buffer> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.end(payload);
  await once(socket, "close");
  return Buffer.concat(chunks);
}
