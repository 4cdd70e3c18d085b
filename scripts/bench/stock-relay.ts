/** The Go programs of the relay bench: the stock relay of tailscale.com, and the load for it and ours. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endProcess, Worker } from "./processes.ts";

const source = join(import.meta.dirname, "go-relay");
const built = join(import.meta.dirname, "../../.build/bench");
const READY_WITHIN_MS = 5_000;
/** Upper bound for a build with an empty module cache. */
const BUILD_WITHIN_MS = 600_000;

/** Compiles what changed. The versions are those of go-relay/go.sum. */
export function buildRelayPrograms(): void {
  mkdirSync(built, { recursive: true });
  for (const [name, what] of [
    ["relayload", "."],
    ["derper", "tailscale.com/cmd/derper"],
  ] as const) {
    execFileSync("go", ["build", "-o", join(built, name), what], {
      cwd: source,
      stdio: ["ignore", "ignore", "inherit"],
      timeout: BUILD_WITHIN_MS,
    });
  }
}

export function relayLoad(): Worker {
  return new Worker("relayload", { program: join(built, "relayload") });
}

export interface RunningRelay extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

export async function stockRelay(): Promise<RunningRelay> {
  await using owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "bench-derper-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  const port = await freePort();
  const address = ["-a", `127.0.0.1:${port}`, "-http-port", "-1", "-hostname", "127.0.0.1"];
  const child = spawn(join(built, "derper"), [...address, "-stun=false", "-c", join(folder, "derper.json")], {
    stdio: "ignore",
  });
  child.on("error", () => undefined); // reported below: it never answers
  owned.defer(() => endProcess(child));
  for (const end = performance.now() + READY_WITHIN_MS; ; await sleep(20)) {
    const up = await fetch(`http://127.0.0.1:${port}/derp/probe`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (up) break;
    if (performance.now() > end || child.exitCode !== null) throw new Error("derper did not become ready");
  }
  const moved = owned.move();
  return { pid: child.pid!, port, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

export async function ourRelay(profileFolder?: string): Promise<RunningRelay> {
  await using owned = new AsyncDisposableStack();
  const worker = owned.use(new Worker("relay-process.ts", { profileFolder }));
  const { port } = await worker.ask<{ port: number }>({ do: "open" });
  const moved = owned.move();
  return { pid: worker.pid!, port, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}
