/** Web apps through the server, beside `coder port-forward` to the same program in the same run. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { TestDeployment } from "../../packages/cli/test/e2e/deployment.ts";
import { type Bench, median, quantile, Rounds } from "./report.ts";
import { freePort } from "./sshd.ts";

const APP = "web app";
const FORWARD = "coder port-forward";
const MIB = 1024 * 1024;
const TRANSFER_BYTES = 64 * MIB;
const PARALLEL = 100;
/** As many as a browser opens to one host over HTTP/1.1. */
const CONNECTIONS = 6;
const READY_WITHIN_MS = 60_000;

/** One way to the program. */
interface Way {
  readonly name: string;
  readonly options: RequestOptions;
}

export const appsBench: Bench = async ({ rounds, seconds, progress }) => {
  const measured = new Rounds();
  await using owned = new AsyncDisposableStack();
  const ways = await open(owned);
  for (let round = 0; round < rounds; round++) {
    progress(`web apps, round ${round + 1} of ${rounds}`);
    for (const way of ways) {
      const figure = (what: string): string => `${way.name}, ${what}`;
      measured.add(figure("download"), await throughput(way, "down"), "MiB/s", { better: "higher" });
      measured.add(figure("upload"), await throughput(way, "up"), "MiB/s", { better: "higher" });
      const small = await small200(way, seconds);
      measured.add(figure("GET of 200 bytes, p50"), quantile(small, 0.5), "ms", { better: "lower" });
      measured.add(figure("GET of 200 bytes, p99"), quantile(small, 0.99), "ms", { better: "lower" });
      measured.add(figure(`${PARALLEL} GETs over ${CONNECTIONS} connections`), await parallel(way), "ms", {
        better: "lower",
      });
      const events = await eventDelays(way, seconds);
      measured.add(figure("event, p50"), quantile(events, 0.5), "ms", { better: "lower" });
      measured.add(figure("event, p99"), quantile(events, 0.99), "ms", { better: "lower" });
    }
  }
  const figures = measured.figures();
  return {
    figures,
    ratios: figures
      .filter(({ name }) => name.startsWith(APP))
      .flatMap(({ name }) => measured.against(name, name.replace(APP, FORWARD))),
    missing: [],
    notes: [
      `one client process on loopback, ${TRANSFER_BYTES / MIB} MiB a transfer; server, agent, port-forward and program are processes of their own`,
    ],
  };
};

async function open(owned: AsyncDisposableStack): Promise<Way[]> {
  const { port, program } = await startProgram();
  owned.defer(() => void program.stdin?.end());
  const deployment = await TestDeployment.start(undefined, process.env["BENCH_NODE"], [
    "--wildcard-access-url",
    "*.coder.localhost",
  ]);
  owned.defer(() => deployment.close());
  const token = readFileSync(join(deployment.folder, "config/owner/session"), "utf8").trim();
  deployment.startAgent(await deployment.createWorkspace("dev"));
  const serverPort = Number(new URL(deployment.url).port);
  const app: Way = {
    name: APP,
    options: {
      port: serverPort,
      headers: { Host: `${port}--main--dev--owner.coder.localhost:${serverPort}`, "Coder-Session-Token": token },
    },
  };
  await ready(app);
  const localPort = await freePort();
  const forward: Way = { name: FORWARD, options: { port: localPort, headers: { Host: "localhost" } } };
  deployment.spawn(["port-forward", "dev", "--tcp", `${localPort}:${port}`], {});
  await ready(forward);
  return [app, forward];
}

async function startProgram(): Promise<{ port: number; program: ChildProcess }> {
  const program = spawn(process.execPath, [join(import.meta.dirname, "app-program.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: program.stdout! }), "line")) as [string];
  return { port: (JSON.parse(line) as { port: number }).port, program };
}

async function ready(way: Way): Promise<void> {
  const end = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const status = await ask(way, "/").then(
      (answer) => answer.statusCode,
      () => undefined, // not listening yet
    );
    if (status === 200) return;
    if (Date.now() > end) throw new Error(`${way.name} does not reach the program: ${status ?? "no answer"}`);
    await sleep(100);
  }
}

async function ask(way: Way, path: string, options: RequestOptions = {}): Promise<IncomingMessage> {
  const request = begin(way, path, options);
  request.end();
  const [answer] = (await once(request, "response")) as [IncomingMessage];
  answer.resume();
  await once(answer, "end");
  return answer;
}

function begin({ options: where }: Way, path: string, options: RequestOptions = {}) {
  const headers = { ...(where.headers as Record<string, string>), ...(options.headers as Record<string, string>) };
  return httpRequest({ host: "127.0.0.1", path, ...where, ...options, headers });
}

async function throughput(way: Way, direction: "down" | "up"): Promise<number> {
  const started = performance.now();
  if (direction === "down") {
    await ask(way, `/down?bytes=${TRANSFER_BYTES}`);
  } else {
    const request = begin(way, "/up", { method: "PUT", headers: { "Content-Length": String(TRANSFER_BYTES) } });
    const answered = once(request, "response") as Promise<[IncomingMessage]>;
    const chunk = Buffer.alloc(64 * 1024, 0x5a);
    for (let sent = 0; sent < TRANSFER_BYTES; sent += chunk.length)
      if (!request.write(chunk)) await once(request, "drain");
    request.end();
    const [answer] = await answered;
    let text = "";
    for await (const part of answer) text += String(part);
    if (text !== String(TRANSFER_BYTES)) throw new Error(`${way.name}: ${text} of ${TRANSFER_BYTES} bytes arrived`);
  }
  return TRANSFER_BYTES / MIB / ((performance.now() - started) / 1000);
}

/** Milliseconds of each request, one after the other over one connection. */
async function small200(way: Way, seconds: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (let i = 0; i < 20; i++) await ask(way, "/", { agent });
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const started = performance.now();
    await ask(way, "/", { agent });
    times.push(performance.now() - started);
  }
  agent.destroy();
  return times;
}

/** Milliseconds until all are answered; the median of five times. */
async function parallel(way: Way): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const times: number[] = [];
  for (let i = 0; i < 6; i++) {
    const started = performance.now();
    await Promise.all(Array.from({ length: PARALLEL }, () => ask(way, "/", { agent })));
    if (i > 0) times.push(performance.now() - started);
  }
  agent.destroy();
  return median(times);
}

/** Milliseconds from the program to here. */
async function eventDelays(way: Way, seconds: number): Promise<number[]> {
  const request = begin(way, "/events");
  request.end();
  const [answer] = (await once(request, "response")) as [IncomingMessage];
  const delays: number[] = [];
  let text = "";
  answer.on("data", (chunk: Buffer) => {
    const now = performance.timeOrigin + performance.now();
    text += chunk.toString();
    for (let at = text.indexOf("\n\n"); at >= 0; at = text.indexOf("\n\n")) {
      delays.push(now - Number(text.slice("data: ".length, at)));
      text = text.slice(at + 2);
    }
  });
  answer.on("error", () => undefined); // it is ended here
  await sleep(seconds * 1000);
  request.destroy();
  return delays;
}
