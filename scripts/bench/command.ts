/** How long the command takes to start, and to deliver the first byte from a workspace on this machine. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildCli } from "../build.ts";
import { endedChildrenCpuSeconds, usageMissing } from "./process-usage.ts";
import { endProcess } from "./processes.ts";
import { type Bench, Rounds } from "./report.ts";
import { cleanEnvironment, coder, type LocalSystem, startSystem } from "./system.ts";

/** Starts are short: more rounds than for throughput. */
const STARTS_PER_ROUND = 5;
const VERSION_TARGET_MS = 80;
const FIRST_REQUEST_TARGET_MS = 60;
const AT_ONCE = 10;
const BARE = "node -e 0";
const VERSION = "coder version";
const UNKNOWN = "coder nosuch: an unknown command";
const LIST = "coder list: a deployment that refuses connections";
const LIST_HELP = "coder list --help";
const SSH_HELP = "coder ssh --help";
const HELP = "coder --help";
/** No server listens there. */
const DEAD = ["--url", "http://127.0.0.1:1"];
const EXECUTABLE = "the single executable: coder version";
const executable = join(import.meta.dirname, "../../.build/release/coder-linux-amd64");
const STDIO_PACKET = "coder ssh --stdio, first packet to the deployment";
const STDIO_BYTE = "coder ssh --stdio, first byte of the workspace's SSH";
const ALL_AT_ONCE = `coder ssh --stdio, ${AT_ONCE} at once, first byte of the last`;
const WITHIN_MS = 15_000;
/** Starts whose processor time is measured as well: it is steadier on a busy machine. */
const STARTS: readonly string[] = [BARE, VERSION, UNKNOWN, LIST, LIST_HELP, SSH_HELP, HELP];

export const commandBench: Bench = async ({ rounds, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await buildCli();
  await using owned = new AsyncDisposableStack();
  const deployment = owned.use(await fakeDeployment());
  const system = await startSystem().then(
    (started) => owned.use(started),
    (error: unknown) => void missing.push(`ssh to a workspace: ${(error as Error).message.trim()}`),
  );
  const lower = { better: "lower" } as const;
  const start = (words: readonly string[], code = 0) => untilExit([coder, ...words], deployment.environment, { code });
  const cases: [name: string, goal: typeof lower & { target?: number }, measure: () => Promise<number>][] = [
    [BARE, lower, () => untilExit(["-e", "0"], deployment.environment)],
    [VERSION, { ...lower, target: VERSION_TARGET_MS }, () => start(["version"])],
    [UNKNOWN, lower, () => start(["nosuch"], 2)],
    [LIST, lower, () => start(["list", ...DEAD], 1)],
    [LIST_HELP, lower, () => start(["list", "--help"])],
    [SSH_HELP, lower, () => start(["ssh", "--help"])],
    [HELP, lower, () => start(["--help"])],
    [
      STDIO_PACKET,
      { ...lower, target: FIRST_REQUEST_TARGET_MS },
      () => deployment.untilFirstRequest(["ssh", "--stdio", "demo"]),
    ],
    ...(existsSync(executable)
      ? ([
          [EXECUTABLE, lower, () => untilExit(["version"], deployment.environment, { program: executable })],
        ] as typeof cases)
      : []),
    ...systemCases(system || undefined).map(([name, measure]): (typeof cases)[number] => [name, lower, measure]),
  ];
  if (!existsSync(executable)) missing.push(`${EXECUTABLE}: npm run release -- --platform linux-x64 makes it`);
  for (let round = 0; round < rounds; round++) {
    progress(`start of the command, round ${round + 1} of ${rounds}`);
    for (const [name, goal, measure] of cases) {
      if (missing.some((line) => line.startsWith(`${name}:`))) continue;
      try {
        const before = endedChildrenCpuMs();
        for (let i = 0; i < STARTS_PER_ROUND; i++) measured.add(name, await measure(), "ms", goal);
        if (before !== undefined && STARTS.includes(name))
          measured.add(cpuOf(name), (endedChildrenCpuMs()! - before) / STARTS_PER_ROUND, "ms", lower);
      } catch (error) {
        missing.push(`${name}: ${(error as Error).message}`);
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: [
      ...[...STARTS, STDIO_PACKET, STDIO_BYTE].flatMap((name) => (name === BARE ? [] : measured.against(name, BARE))),
      ...STARTS.flatMap((name) => (name === BARE ? [] : measured.against(cpuOf(name), cpuOf(BARE)))),
      ...measured.against(ALL_AT_ONCE, STDIO_BYTE),
      ...measured.against(EXECUTABLE, VERSION),
    ],
    missing,
    notes: ["from spawn in another process; NODE_EXTRA_CA_CERTS and NODE_OPTIONS are unset"],
  };
};

function systemCases(system: LocalSystem | undefined): [name: string, measure: () => Promise<number>][] {
  if (system === undefined) return [];
  const { environment } = system;
  return [
    [STDIO_BYTE, () => untilOutput(["ssh", "--stdio", "demo"], environment)],
    ["coder ssh demo -- echo, first byte", () => untilOutput(["ssh", "demo", "--", "echo", "x"], environment)],
    ["coder ssh --stdio, until the path is direct", () => untilDirect(environment)],
    [
      ALL_AT_ONCE,
      async () => {
        const all = Array.from({ length: AT_ONCE }, () => untilOutput(["ssh", "--stdio", "demo"], environment));
        return Math.max(...(await Promise.all(all)));
      },
    ],
  ];
}

function cpuOf(name: string): string {
  return `${name}, processor time`;
}

/** Processor time of the child processes that have ended; undefined where the system does not count it. */
function endedChildrenCpuMs(): number | undefined {
  return usageMissing.length > 0 ? undefined : endedChildrenCpuSeconds(process.pid) * 1000;
}

async function untilExit(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  { program = process.execPath, code: wanted = 0 }: { readonly program?: string; readonly code?: number } = {},
): Promise<number> {
  const started = performance.now();
  const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"], timeout: WITHIN_MS });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== wanted) throw new Error(`exit ${code}: ${said.trim().slice(0, 300)}`);
  return performance.now() - started;
}

async function untilOutput(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, [coder, ...args], { env, stdio: ["pipe", "pipe", "ignore"] });
  try {
    await once(child.stdout, "readable", { signal: AbortSignal.timeout(WITHIN_MS) });
    if (child.stdout.readableLength === 0) throw new Error(`"coder ${args[0]}" ended without output`);
    return performance.now() - started;
  } finally {
    child.stdin.on("error", () => undefined).end();
    await endProcess(child);
  }
}

/** Read from the command's own log. */
async function untilDirect(env: NodeJS.ProcessEnv): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, [coder, "ssh", "--stdio", "-v", "demo"], {
    env,
    stdio: ["pipe", "ignore", "pipe"],
  });
  try {
    let said = "";
    const signal = AbortSignal.timeout(WITHIN_MS);
    while (!/path changed path="[0-9[]/.test(said)) {
      const [chunk] = (await once(child.stderr, "data", { signal })) as [Buffer];
      said += chunk.toString("utf8");
    }
    return performance.now() - started;
  } finally {
    child.stdin.on("error", () => undefined).end();
    await endProcess(child);
  }
}

interface FakeDeployment extends AsyncDisposable {
  readonly environment: NodeJS.ProcessEnv;
  untilFirstRequest(args: readonly string[]): Promise<number>;
}

/** A server that only records whether it received a request, and a login to it. */
async function fakeDeployment(): Promise<FakeDeployment> {
  const folder = mkdtempSync(join(tmpdir(), "bench-login-"));
  let asked = Promise.withResolvers<number>();
  const server = createServer((_request, response) => {
    asked.resolve(performance.now());
    response.writeHead(503).end();
  });
  server.on("upgrade", (_request, socket) => {
    asked.resolve(performance.now());
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const config = join(folder, "config");
  mkdirSync(config, { recursive: true });
  writeFileSync(join(config, "url"), `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  writeFileSync(join(config, "session"), "benchbench-0000000000000000000000", { mode: 0o600 });
  const environment = cleanEnvironment(config);
  return {
    environment,
    async untilFirstRequest(args) {
      const first = Promise.withResolvers<number>();
      asked = first;
      const started = performance.now();
      const child = spawn(process.execPath, [coder, ...args], { env: environment, stdio: ["pipe", "ignore", "pipe"] });
      let said = "";
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString("utf8");
      });
      child.once("close", (code) => first.reject(new Error(`exit ${code} before any request: ${said.trim()}`)));
      try {
        return (await first.promise) - started;
      } finally {
        child.stdin.on("error", () => undefined).end();
        await endProcess(child);
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
