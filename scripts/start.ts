/**
 * `npm start`: the whole system on this machine. A control plane on loopback, a workspace "demo" with its agent, and the
 * CLI logged in to it in a folder of its own. On a terminal it opens a shell in the workspace; without one it shows that
 * the tunnel carries data both ways and exits. Everything it started is gone when it ends. CODER_DEMO_DIR is another folder
 * for its state; its port is then any that is free. CODER_DEMO_MIB is how much it carries each way.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { buildCli } from "./build.ts";

const root = join(import.meta.dirname, "..");
const otherDir = process.env["CODER_DEMO_DIR"];
const stateDir = resolve(otherDir || join(root, ".coder-demo"));
const configDir = join(stateDir, "config");
const secretFile = join(stateDir, "password");
const coder = join(root, "packages/cli/dist/coder.cjs");
const PREFERRED_PORT = 7080;
const READY_WITHIN_MS = 30_000;
const TRANSFER_BYTES = (Number(process.env["CODER_DEMO_MIB"]) || 64) * 1024 * 1024;
const USER = { email: "demo@example.com", username: "demo" };

/** Keeps settings of the user's own login out of the demo, and those of the demo out of the login. */
const environment: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CODER_"))),
  CODER_CONFIG_DIR: configDir,
};
const children: ChildProcess[] = [];
let stopping = false;

class StartError extends Error {}

async function main(): Promise<number> {
  await buildCli();
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  chmodSync(stateDir, 0o700);
  const port = await freePort();
  // Browsers resolve names below localhost to this machine, and so does the command.
  const url = `http://coder.localhost:${port}`;

  say(`Starting the control plane at ${url}`);
  background("server", [
    "server",
    "--http-address",
    `127.0.0.1:${port}`,
    "--cache-dir",
    join(stateDir, "server"),
    // Both ends are on this machine: neither needs to learn a public address.
    "--stun-address",
    "disable",
    "--derp-server-stun-addresses",
    "disable",
  ]);
  await until("the control plane", () => healthy(port));
  logIn(url);
  const token = workspaceToken();
  say('Starting the agent of workspace "demo"');
  background("agent", ["agent"], { CODER_AGENT_URL: url, CODER_AGENT_TOKEN: token });

  if (process.stdin.isTTY && process.stdout.isTTY) {
    introduce(url);
    const code = await foreground(["ssh", "demo"]);
    say(`\nYou left the workspace; what was started for it ends now.\n${installLine()}`);
    return code;
  }
  const code = await showTransfers();
  say(installLine());
  return code;
}

/** Informs the user, whose prompt looks like their own. */
function introduce(url: string): void {
  say(`
You are about to be inside the workspace "demo": what you type runs there, through the tunnel (it happens to be
on this machine). Leave it with "exit" or Ctrl-D; that ends everything that was started here.

Beside it, in another terminal in this folder:
  export CODER_CONFIG_DIR=${configDir}
  ./coder ping demo                     # which path, how long it takes, and why
  ./coder port-forward demo --tcp 8080  # a port of the workspace on this machine
  ./coder speedtest demo                # what the tunnel carries
  ./coder ssh demo                      # one more shell

In a browser: ${url}
  log in as ${USER.email}; the password is in ${secretFile}
`);
}

/** How other machines get the command: from a server that stays, unlike the one of this demonstration. */
function installLine(): string {
  const made = existsSync(join(root, ".build/release"))
    ? "A server of this checkout hands out what is in .build/release: ./coder server --help"
    : "Here, this makes what a server hands out: npm run release -- --platform linux-x64";
  return `To install the command on other machines, from a server of yours:\n  curl -fsSL https://SERVER/install.sh | sh\n${made}`;
}

function logIn(url: string): void {
  if (!existsSync(secretFile)) writeFileSync(secretFile, randomBytes(18).toString("base64url"), { mode: 0o600 });
  const password = readFileSync(secretFile, "utf8");
  // Also renews an expired login of an earlier run, and follows a changed port.
  coderCommand(
    "log in",
    ["login", url, "--email", USER.email, "--first-user-username", USER.username, "--first-user-email", USER.email],
    { CODER_FIRST_USER_PASSWORD: password, CODER_LOGIN_PASSWORD: password },
  );
}

function workspaceToken(): string {
  const known = JSON.parse(coderCommand("list workspaces", ["list", "--output", "json"])) as { name: string }[];
  const verb = known.some((workspace) => workspace.name === "demo") ? "agent-instructions" : "create";
  const made = coderCommand("register the workspace", ["external-workspaces", verb, "demo", "--output", "json"]);
  return (JSON.parse(made) as { auth_token: string }).auth_token;
}

async function showTransfers(): Promise<number> {
  const uname = coderCommand("reach the workspace", ["ssh", "demo", "--", "uname", "-a"]);
  say(`uname -a in the workspace: ${uname.trim()}`);
  const data = randomBytes(TRANSFER_BYTES);
  const sent = createHash("sha256").update(data).digest("hex");
  const file = join(stateDir, "transfer.bin");

  const up = await timed(["ssh", "demo", "--", `cat > '${file}' && sha256sum < '${file}'`], data);
  const arrived = up.output.toString("utf8").slice(0, 64);
  say(`to the workspace:   ${rate(up.seconds)}, SHA-256 ${arrived === sent ? "equal" : "DIFFERENT"}`);
  const down = await timed(["ssh", "demo", "--", `cat '${file}'; rm '${file}'`], Buffer.alloc(0));
  const fetched = createHash("sha256").update(down.output).digest("hex");
  say(`from the workspace: ${rate(down.seconds)}, SHA-256 ${fetched === sent ? "equal" : "DIFFERENT"}`);
  return arrived === sent && fetched === sent ? 0 : 1;
}

async function timed(args: readonly string[], input: Buffer): Promise<{ output: Buffer; seconds: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [coder, ...args], { env: environment, stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stdin.on("error", () => undefined); // the exit code below shows it
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  if (code !== 0) throw new StartError(`"coder ${args[0]}" exited with ${code} during a transfer`);
  return { output: Buffer.concat(chunks), seconds: (performance.now() - started) / 1000 };
}

function rate(seconds: number): string {
  const mebibytes = TRANSFER_BYTES / 1024 / 1024;
  return `${mebibytes} MiB in ${seconds.toFixed(2)} s, ${(mebibytes / seconds).toFixed(1)} MiB/s`;
}

/** Runs a command to its end and returns what it printed. */
function coderCommand(what: string, args: readonly string[], extra: NodeJS.ProcessEnv = {}): string {
  const done = spawnSync(process.execPath, [coder, ...args], {
    env: { ...environment, ...extra },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (done.status === 0) return done.stdout;
  throw new StartError(`could not ${what} (coder ${args.slice(0, 2).join(" ")}):\n${done.stderr}${done.stdout}`);
}

async function foreground(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [coder, ...args], { env: environment, stdio: "inherit" });
  children.push(child);
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
}

function background(name: string, args: readonly string[], extra: NodeJS.ProcessEnv = {}): void {
  const log = join(stateDir, `${name}.log`);
  const out = createWriteStream(log, { flags: "w", mode: 0o600 });
  // A group of its own: Ctrl-C in the terminal is ours to pass on, after the shell has received it.
  const child = spawn(process.execPath, [coder, ...args], {
    env: { ...environment, ...extra },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  children.push(child);
  child.stdout.pipe(out);
  child.stderr.pipe(out);
  child.on("exit", (code) => {
    if (stopping) return;
    process.stderr.write(
      `The ${name} stopped by itself (exit ${code}). Its last lines, from ${log}:\n${lastLines(log)}\n`,
    );
    void stopAll().then(() => process.exit(1));
  });
}

function lastLines(path: string): string {
  return readFileSync(path, "utf8").trimEnd().split("\n").slice(-10).join("\n");
}

async function until(what: string, ready: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + READY_WITHIN_MS; performance.now() < end; await sleep(50)) {
    if (await ready()) return;
  }
  throw new StartError(`${what} did not become ready within ${READY_WITHIN_MS / 1000} s; its log is in ${stateDir}`);
}

function healthy(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path: "/healthz", timeout: 1_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("error", () => resolve(false));
    asked.end();
  });
}

/** The usual port, or any other when it is taken. */
function freePort(): Promise<number> {
  const probe = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const server = createServer();
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        const address = server.address();
        server.close(() => resolve(typeof address === "object" && address !== null ? address.port : port));
      });
    });
  // Two starts at once would both find the usual port free.
  return otherDir ? probe(0) : probe(PREFERRED_PORT).catch(() => probe(0));
}

/** Asks every process to end, then makes sure. Sessions of the agent end with the agent. */
async function stopAll(): Promise<void> {
  stopping = true;
  const alive = () => children.filter((child) => child.exitCode === null && child.signalCode === null);
  for (const child of alive()) child.kill("SIGTERM");
  for (let waited = 0; alive().length > 0 && waited < 8_000; waited += 50) await sleep(50);
  for (const child of alive()) child.kill("SIGKILL");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.on(signal, () => void stopAll().then(() => process.exit(code)));
}
let exit = 1;
try {
  exit = await main();
} catch (error) {
  process.stderr.write(`${error instanceof StartError ? error.message : (error as Error).stack}\n`);
}
await stopAll();
process.exit(exit);
