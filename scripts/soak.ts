/**
 * `npm run soak [-- --minutes M]`: a real deployment on loopback, and clients that connect, work and disconnect as fast
 * as they can: sessions with their tunnels, transfers, a shared forward that is restarted now and then. Every byte is
 * checked. One-time clients have connected before, so that bounded tables are full when the measurement begins. Fails
 * on a wrong answer, and when the memory of server or agent after a full collection keeps growing in the second half.
 */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { endProcess } from "./bench/processes.ts";
import { coder, startSystem } from "./bench/system.ts";
import { buildCli } from "./build.ts";
import { exitWithUsage, scriptArguments } from "./script-arguments.ts";
import { growthPerHour, type MemorySample } from "./soak/growth.ts";
import { MemoryProbe } from "./soak/live-memory.ts";
import { connectUnknownClients } from "./soak/unknown-clients.ts";

/** Every sample stops both processes for a full collection. */
const SAMPLE_EVERY_MS = 15_000;
/** Upper bound for one client: machines are busy during a soak. */
const CLIENT_WITHIN_MS = 180_000;
const FORWARD_LASTS_MS = 60_000;
const MAX_TRANSFER_BYTES = 4 << 20;
/** Growth per hour, as a share of the total, above which memory counts as leaking. */
const MAX_GROWTH_PER_HOUR = 0.15;

const usage = "soak [--minutes M]";
const { values } = scriptArguments(usage, { options: { minutes: { type: "string", default: "30" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) exitWithUsage(usage);

await buildCli();
await using system = await startSystem({ inspect: true });
using serverMemory = await MemoryProbe.open(system.inspectors.server);
using agentMemory = await MemoryProbe.open(system.inspectors.agent);
await using echo = await startEcho();
await connectUnknownClients(system.environment["CODER_CONFIG_DIR"]!, (count) => {
  if (count % 200 === 0) process.stderr.write(`${count} one-time clients connected\n`);
});
const stop = AbortSignal.timeout(minutes * 60_000);
const counts = { sessions: 0, terminals: 0, transfers: 0, connections: 0, forwards: 0 };
const started = performance.now();
const samples = new Map<string, MemorySample[]>(
  ["server, live", "server, resident", "agent, live", "agent, resident"].map((name) => [name, []]),
);

await Promise.all([
  repeat(async () => {
    const word = randomBytes(8).toString("hex");
    expectSame("a session", await run(["ssh", "demo", "--", `echo ${word}`]), `${word}\n`);
    counts.sessions++;
  }),
  repeat(async () => {
    const word = randomBytes(8).toString("hex");
    const said = await run(["ssh", "--disable-direct-connections", "-t", "demo", "--", `echo ${word}`]);
    if (!said.includes(word)) throw new Error(`a terminal said ${JSON.stringify(said.slice(0, 200))}`);
    counts.terminals++;
  }),
  repeat(async () => {
    const bytes = randomBytes(1 + Math.floor(Math.random() * MAX_TRANSFER_BYTES));
    const sum = await run(["ssh", "demo", "--", "sha256sum"], bytes);
    expectSame("a transfer", sum.slice(0, 64), createHash("sha256").update(bytes).digest("hex"));
    counts.transfers++;
  }),
  repeat(useForward),
  sample(),
]);
report();

/** Calls `work` repeatedly until the soak is over; a call under way then completes. */
async function repeat(work: () => Promise<void>): Promise<void> {
  while (!stop.aborted) await work();
}

async function sample(): Promise<void> {
  while (!stop.aborted) {
    const at = performance.now() - started;
    for (const [name, probe] of [["server", serverMemory] as const, ["agent", agentMemory] as const])
      for (const [kind, bytes] of Object.entries(await probe.measure()))
        samples.get(`${name}, ${kind}`)!.push({ at, bytes });
    if (samples.get("agent, live")!.length % 4 === 0) process.stderr.write(`${line()}\n`);
    await sleep(SAMPLE_EVERY_MS);
  }
}

/** A forward with connections that come and go at both ends, until it has lasted long enough. */
async function useForward(): Promise<void> {
  const port = await freePort();
  const forward = spawn(process.execPath, [coder, "port-forward", "demo", "--tcp", `${port}:${echo.port}`], {
    env: system.environment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const end = performance.now() + FORWARD_LASTS_MS;
  try {
    for (const late = performance.now() + CLIENT_WITHIN_MS; !(await answers(port)); await sleep(100))
      if (performance.now() > late || forward.exitCode !== null) throw new Error("a forward did not come up");
    while (!stop.aborted && performance.now() < end) {
      await Promise.all(Array.from({ length: 8 }, () => throughForward(port)));
      counts.connections += 8;
    }
  } finally {
    await endProcess(forward);
  }
  counts.forwards++;
}

async function throughForward(port: number): Promise<void> {
  const sent = randomBytes(1 + Math.floor(Math.random() * 65_536));
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const heard = collect(socket);
  socket.end(sent);
  expectSame("a forwarded connection", (await heard).toString("hex"), sent.toString("hex"));
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ port, host: "127.0.0.1" });
  return await once(socket, "connect")
    .then(
      () => true,
      () => false,
    )
    .finally(() => socket.destroy());
}

/** Output of a client, which must exit with success. */
async function run(args: readonly string[], input?: Uint8Array): Promise<string> {
  const child = spawn(process.execPath, [coder, ...args], { env: system.environment, timeout: CLIENT_WITHIN_MS });
  const [output, errors] = [collect(child.stdout), collect(child.stderr)];
  child.stdin.on("error", () => undefined); // shows in the exit code
  child.stdin.end(input);
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  const how = child.killed ? `was not done within ${CLIENT_WITHIN_MS / 1000} s` : `ended with ${code ?? signal}`;
  if (code !== 0) throw new Error(`coder ${args.join(" ")} ${how}: ${(await errors).toString("utf8")}`);
  return (await output).toString("utf8");
}

async function collect(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function expectSame(what: string, got: string, want: string): void {
  if (got !== want) throw new Error(`${what} answered ${got.length} characters of something else`);
}

interface Echo extends AsyncDisposable {
  readonly port: number;
}

async function startEcho(): Promise<Echo> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: portOf(server), [Symbol.asyncDispose]: async () => void server.close() };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server);
  server.close();
  await once(server, "close");
  return port;
}

function portOf(server: Server): number {
  return (server.address() as { port: number }).port;
}

function line(): string {
  const memory = [...samples].map(([name, all]) => `${name} ${mebibytes(all.at(-1)!.bytes)} MiB`);
  const done = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return `${((performance.now() - started) / 60_000).toFixed(1)} min: ${[...memory, ...done].join(", ")}`;
}

function report(): void {
  process.stdout.write(`${line()}\n`);
  for (const [name, all] of samples) {
    const half = all.slice(Math.floor(all.length / 2));
    const perHour = growthPerHour(half);
    const share = perHour / half[0]!.bytes;
    process.stdout.write(
      `${name}: ${mebibytes(all[0]!.bytes)} MiB at first, ${mebibytes(half[0]!.bytes)} at half time, ` +
        `${mebibytes(half.at(-1)!.bytes)} at the end; second half ${mebibytes(perHour)} MiB/h (${(share * 100).toFixed(1)} %)\n`,
    );
    if (share > MAX_GROWTH_PER_HOUR) {
      process.stdout.write(`${name}: memory keeps growing\n`);
      process.exitCode = 1;
    }
  }
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
