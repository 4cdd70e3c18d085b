/**
 * Durability under kill -9: starts the real server process, writes through the REST API, kills it at a random moment, starts it
 * again and checks that every answered write is present and complete, and that the database is sound.
 *
 *   node packages/server/test/durability/kill-loop.ts --kills 200 [--seed 1]
 *
 * Node's compile cache is kept between the server's starts, which take most of the time.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";

const SERVE = fileURLToPath(new URL("./serve.ts", import.meta.url));
const START_TIMEOUT_MS = 20_000;
const WRITERS = 3;
/** The server is killed at most this long after it has answered the number of writes that the round wants. */
const MAX_LIFE_MS = 150;
/** Half of the rounds want up to this many: on a busy machine, 150 ms may pass without an answer. */
const MAX_WANTED = 3;
const ANSWERS_WITHIN_MS = 10_000;
const EMAIL = "ada@example.com";
const PASSWORD = "correct horse battery";

export interface KillLoopResult {
  readonly kills: number;
  /** Writes that the server answered. */
  readonly answered: number;
  /** Writes that were in progress when the server died. */
  readonly interrupted: number;
  /** Number of checks of answered writes. */
  readonly verified: number;
  /** Descriptions of lost or damaged data; empty is good. */
  readonly problems: readonly string[];
}

/** Facts that the server has acknowledged. */
interface Facts {
  readonly users: Set<string>;
  /** Name → whether it was stopped. */
  readonly workspaces: Map<string, { id: string; stopped: boolean }>;
  readonly deletedWorkspaces: Set<string>;
  readonly tokens: Set<string>;
  readonly removedTokens: Set<string>;
}

export async function runKillLoop(options: {
  kills: number;
  seed: number;
  report?: (line: string) => void;
}): Promise<KillLoopResult> {
  const folder = mkdtempSync(join(tmpdir(), "coder-kill-loop-"));
  const loop = new KillLoop(folder, options.seed);
  try {
    await loop.prepare();
    for (let kill = 1; kill <= options.kills; kill++) {
      await loop.round();
      if (kill % 20 === 0) options.report?.(`${kill} kills, ${loop.answered} answered writes`);
    }
    await loop.verifyEverything();
    return {
      kills: options.kills,
      answered: loop.answered,
      interrupted: loop.interrupted,
      verified: loop.verified,
      problems: loop.problems,
    };
  } finally {
    loop.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

class KillLoop {
  answered = 0;
  interrupted = 0;
  verified = 0;
  readonly problems: string[] = [];
  readonly #stateDir: string;
  readonly #compiledDir: string;
  readonly #random: () => number;
  readonly #facts: Facts = {
    users: new Set(),
    workspaces: new Map(),
    deletedWorkspaces: new Set(),
    tokens: new Set(),
    removedTokens: new Set(),
  };
  /** Facts of the last round, which are checked in full after each restart. */
  #recent: (() => Promise<void>)[] = [];
  #process: ChildProcess | undefined;
  #url = "";
  #token = "";
  #serial = 0;

  constructor(folder: string, seed: number) {
    this.#stateDir = join(folder, "state");
    this.#compiledDir = join(folder, "compiled");
    this.#random = mulberry32(seed);
  }

  async prepare(): Promise<void> {
    await this.#start();
    await this.#mustAnswer(201, "POST", "/users/first", { email: EMAIL, username: "ada", password: PASSWORD });
    const login = await this.#mustAnswer(201, "POST", "/users/login", { email: EMAIL, password: PASSWORD });
    this.#token = String(login["session_token"]);
    // Node writes its compile cache only when it exits normally.
    await this.#killAndWait("SIGTERM");
  }

  async round(): Promise<void> {
    await this.#start();
    this.#checkIntegrity();
    for (const check of this.#recent) await check();
    this.#recent = [];
    const writers = Array.from({ length: WRITERS }, () => this.#writeUntilKilled());
    await this.#answers(this.answered + Math.max(0, Math.ceil((this.#random() * 2 - 1) * MAX_WANTED)));
    await new Promise((resolve) => setTimeout(resolve, this.#random() * MAX_LIFE_MS));
    await this.#killAndWait();
    await Promise.all(writers);
  }

  async #answers(wanted: number): Promise<void> {
    for (const end = performance.now() + ANSWERS_WITHIN_MS; this.answered < wanted; )
      if (performance.now() > end) return;
      else await new Promise((resolve) => setTimeout(resolve, 1));
  }

  async verifyEverything(): Promise<void> {
    await this.#start();
    this.#checkIntegrity();
    for (const check of this.#recent) await check();
    const users = await this.#read("/users?limit=1000");
    const names = new Set(field(users, "users").map((user) => String(user["username"])));
    for (const name of this.#facts.users) this.#expect(names.has(name), `user ${name} is gone`);
    const workspaces = field(await this.#read("/workspaces"), "workspaces");
    const byName = new Map(workspaces.map((workspace) => [String(workspace["name"]), workspace]));
    for (const [name, fact] of this.#facts.workspaces) {
      const found = byName.get(name);
      this.#expect(found?.["id"] === fact.id, `workspace ${name} is gone`);
      if (found !== undefined) this.#checkWhole(name, found, fact.stopped);
    }
    for (const name of this.#facts.deletedWorkspaces) this.#expect(!byName.has(name), `workspace ${name} is back`);
    // Includes those whose creation was never answered: all of a workspace or nothing.
    for (const [name, found] of byName) if (!this.#facts.workspaces.has(name)) this.#checkWhole(name, found, undefined);
    for (const token of this.#facts.tokens) await this.#checkToken(token, true);
    for (const token of this.#facts.removedTokens) await this.#checkToken(token, false);
    await this.#killAndWait();
  }

  kill(): void {
    this.#process?.kill("SIGKILL");
  }

  async #writeUntilKilled(): Promise<void> {
    for (;;) {
      const choice = this.#random();
      try {
        if (choice < 0.4) await this.#createWorkspace();
        else if (choice < 0.6) await this.#stopWorkspace();
        else if (choice < 0.7) await this.#deleteWorkspace();
        else if (choice < 0.85) await this.#createToken();
        else if (choice < 0.95) await this.#removeToken();
        else await this.#createUser();
      } catch (error) {
        // fetch rejects with TypeError if the process dies during the request; any other error is a fault of the test.
        if (!(error instanceof TypeError)) throw error;
        this.interrupted += 1;
        return;
      }
    }
  }

  async #createWorkspace(): Promise<void> {
    const name = `w${this.#serial++}`;
    const body = await this.#mustAnswer(201, "POST", "/users/me/workspaces", { name });
    const fact = { id: String(body["id"]), stopped: false };
    this.#facts.workspaces.set(name, fact);
    this.#recent.push(async () => {
      if (this.#facts.workspaces.get(name) !== fact) return;
      const { status, json } = await this.#call("GET", `/users/me/workspace/${name}`);
      this.#expect(status === 200 && json["id"] === fact.id, `workspace ${name} is gone`);
      if (status === 200) this.#checkWhole(name, json, fact.stopped);
    });
  }

  async #stopWorkspace(): Promise<void> {
    const [name, fact] = this.#pick([...this.#facts.workspaces].filter(([, each]) => !each.stopped)) ?? [];
    if (name === undefined || fact === undefined) return await this.#createWorkspace();
    // From here until the answer the state is unknown, so another writer must not pick this workspace.
    this.#facts.workspaces.delete(name);
    await this.#mustAnswer(201, "POST", `/workspaces/${fact.id}/builds`, { transition: "stop" });
    const stopped = { id: fact.id, stopped: true };
    this.#facts.workspaces.set(name, stopped);
    this.#recent.push(async () => {
      if (this.#facts.workspaces.get(name) !== stopped) return;
      this.#checkWhole(name, await this.#read(`/users/me/workspace/${name}`), true);
    });
  }

  async #deleteWorkspace(): Promise<void> {
    const [name, fact] = this.#pick([...this.#facts.workspaces]) ?? [];
    if (name === undefined || fact === undefined) return await this.#createWorkspace();
    this.#facts.workspaces.delete(name);
    await this.#mustAnswer(201, "POST", `/workspaces/${fact.id}/builds`, { transition: "delete" });
    this.#facts.deletedWorkspaces.add(name);
    this.#recent.push(async () => {
      const { status } = await this.#call("GET", `/users/me/workspace/${name}`);
      this.#expect(status === 404, `workspace ${name} is back`);
    });
  }

  async #createToken(): Promise<void> {
    const body = await this.#mustAnswer(201, "POST", "/users/me/keys/tokens", { token_name: `t${this.#serial++}` });
    const token = String(body["key"]);
    this.#facts.tokens.add(token);
    this.#recent.push(async () => {
      if (this.#facts.tokens.has(token)) await this.#checkToken(token, true);
    });
  }

  async #removeToken(): Promise<void> {
    const token = this.#pick([...this.#facts.tokens]);
    if (token === undefined) return await this.#createToken();
    this.#facts.tokens.delete(token);
    await this.#mustAnswer(204, "DELETE", `/users/me/keys/${token.slice(0, 10)}`);
    this.#facts.removedTokens.add(token);
    this.#recent.push(() => this.#checkToken(token, false));
  }

  async #createUser(): Promise<void> {
    const username = `u${this.#serial++}`;
    const body = { email: `${username}@example.com`, username, password: PASSWORD };
    await this.#mustAnswer(201, "POST", "/users", body);
    this.#facts.users.add(username);
    this.#recent.push(async () => {
      const { status } = await this.#call("GET", `/users/${username}`);
      this.#expect(status === 200, `user ${username} is gone`);
    });
  }

  async #checkToken(token: string, valid: boolean): Promise<void> {
    const { status } = await this.#call("GET", "/users/me", undefined, token);
    this.#expect(
      status === (valid ? 200 : 401),
      valid ? `token ${token.slice(0, 10)} is gone` : "a removed token is back",
    );
  }

  #checkWhole(name: string, workspace: Record<string, unknown>, stopped: boolean | undefined): void {
    const build = workspace["latest_build"] as Record<string, unknown>;
    const status = build["status"];
    if (stopped !== undefined) {
      this.#expect(status === (stopped ? "stopped" : "running"), `workspace ${name} is ${String(status)}`);
    }
    const resources = field(build, "resources");
    this.#expect(
      resources.length === (status === "running" ? 1 : 0),
      `workspace ${name} has ${resources.length} agents`,
    );
  }

  #checkIntegrity(): void {
    // The running server has recovered the write-ahead log, so this reads the recovered state.
    const database = new DatabaseSync(join(this.#stateDir, "coder.db"), { readOnly: true });
    const rows = database.prepare("PRAGMA integrity_check").all();
    const foreign = database.prepare("PRAGMA foreign_key_check").all();
    database.close();
    this.#expect(
      rows.length === 1 && rows[0]?.["integrity_check"] === "ok",
      `integrity_check: ${JSON.stringify(rows)}`,
    );
    this.#expect(foreign.length === 0, `foreign_key_check: ${JSON.stringify(foreign)}`);
  }

  #expect(holds: boolean, problem: string): void {
    this.verified += 1;
    if (!holds) this.problems.push(problem);
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }

  async #read(path: string): Promise<Record<string, unknown>> {
    return await this.#mustAnswer(200, "GET", path);
  }

  async #mustAnswer(expected: number, method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const { status, json } = await this.#call(method, path, body);
    if (status !== expected) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
    if (method !== "GET") this.answered += 1;
    return json;
  }

  async #call(
    method: string,
    path: string,
    body?: object,
    token = this.#token,
  ): Promise<{ status: number; json: Record<string, unknown> }> {
    const headers = new Headers({ "Content-Type": "application/json" });
    if (token !== "") headers.set("Coder-Session-Token", token);
    const response = await fetch(`${this.#url}/api/v2${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, json: text === "" ? {} : JSON.parse(text) };
  }

  async #start(): Promise<void> {
    const child = spawn(process.execPath, [SERVE], {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"],
        CODER_HTTP_ADDRESS: "127.0.0.1:0",
        CODER_STATE_DIRECTORY: this.#stateDir,
        NODE_COMPILE_CACHE: this.#compiledDir,
        CODER_LOG_LEVEL: "warn",
      },
    });
    this.#process = child;
    let output = "";
    this.#url = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the server did not start: ${output}`)), START_TIMEOUT_MS);
      const read = (chunk: Buffer): void => {
        output += chunk.toString();
        const url = /Listening on (http:\S+)/.exec(output)?.[1];
        if (url === undefined) return;
        clearTimeout(timer);
        resolve(url);
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.once("exit", (code) => {
        clearTimeout(timer);
        reject(new Error(`the server ended with ${code}: ${output}`));
      });
    });
  }

  async #killAndWait(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    await gone;
    this.#process = undefined;
  }
}

function field(value: Record<string, unknown>, name: string): Record<string, unknown>[] {
  const list = value[name];
  if (!Array.isArray(list)) throw new Error(`${name} is not a list`);
  return list;
}

/** A small seeded generator. The order of the writes is reproducible; the moments of the kills differ by machine. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name: string, fallback: number): number => {
    const index = process.argv.indexOf(`--${name}`);
    const value = index < 0 ? fallback : Number(process.argv[index + 1]);
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name} must be a positive whole number`);
    return value;
  };
  const seed = option("seed", 1);
  const result = await runKillLoop({
    kills: option("kills", 200),
    seed,
    report: (line) => process.stdout.write(`${line}\n`),
  });
  process.stdout.write(`${JSON.stringify({ seed, ...result }, undefined, 2)}\n`);
  process.exitCode = result.problems.length === 0 ? 0 : 1;
}
