/** Control frames, the list of terminals, and files, with a real server and agent and a client that is no browser. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentTerminal } from "coder-protocol/rest/terminals";
import type { TerminalEvent } from "coder-protocol/terminal/events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

let deployment: TestDeployment;
let agentId: string;
let home: string;

beforeAll(async () => {
  deployment = await TestDeployment.start();
  const token = await deployment.createWorkspace("demo");
  home = join(deployment.folder, "home");
  mkdirSync(home, { recursive: true });
  deployment.startAgent(token, { HOME: home, PS1: "$ ", SHELL: "/bin/sh" });
  expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  const workspace = (await (await rest("GET", "/users/me/workspace/demo")).json()) as {
    latest_build: { resources: { agents: { id: string }[] }[] };
  };
  agentId = workspace.latest_build.resources.flatMap(({ agents }) => agents)[0]!.id;
}, 120_000);
afterAll(() => deployment?.close());

const headers = (): Record<string, string> => ({ "Coder-Session-Token": deployment.ownerToken });
const rest = (method: string, path: string, body: Buffer | string | null = null) =>
  fetch(`${deployment.url}/api/v2${path}`, { method, headers: headers(), body });

/** A viewer of one terminal. */
class Viewer {
  readonly events: TerminalEvent[] = [];
  readonly closed: Promise<number>;
  output = "";
  #socket: WebSocket;
  #received = 0;

  constructor(id: string, query: Record<string, string> = {}) {
    const search = new URLSearchParams({
      ...{ reconnect: id, width: "80", height: "24", control: "1" },
      ...query,
      coder_session_token: deployment.ownerToken,
    });
    this.#socket = new WebSocket(
      `${deployment.url.replace("http", "ws")}/api/v2/workspaceagents/${agentId}/pty?${search}`,
    );
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") {
        this.events.push(JSON.parse(data));
        return;
      }
      const bytes = Buffer.from(data as ArrayBuffer);
      this.output = `${this.output}${bytes.toString("latin1")}`.slice(-100_000);
      this.#received += bytes.length;
      this.#socket.send(JSON.stringify({ type: "ack", bytes: this.#received }));
    });
    this.closed = new Promise((resolve) => this.#socket.addEventListener("close", ({ code }) => resolve(code)));
  }

  type(data: string): void {
    this.#socket.send(Buffer.from(JSON.stringify({ data })));
  }
  control(value: unknown): void {
    this.#socket.send(JSON.stringify(value));
  }
  close(): void {
    this.#socket.close();
  }
  async sees(what: string, condition: () => boolean): Promise<void> {
    await expect
      .poll(condition, { timeout: 30_000, message: `${what} in ${this.output} ${JSON.stringify(this.events)}` })
      .toBe(true);
  }
  last<Type extends TerminalEvent["type"]>(type: Type) {
    return this.events.findLast((event): event is Extract<TerminalEvent, { type: Type }> => event.type === type);
  }
}

const terminals = async (): Promise<AgentTerminal[]> =>
  ((await (await rest("GET", `/workspaceagents/${agentId}/terminals`)).json()) as { terminals: AgentTerminal[] })
    .terminals;

it("a terminal greets, tells its path, and is the same one again with its past marked", async () => {
  const id = randomUUID();
  const first = new Viewer(id, { keep: "3600" });
  await first.sees("greeting", () => first.last("hello")?.terminal.fresh === true);
  await first.sees("path", () => first.last("path") !== undefined);
  first.type("echo one-$((20+1)); printf '\\033[?2004h'\r");
  await first.sees("21", () => first.output.includes("one-21"));
  first.close();
  await first.closed;
  const second = new Viewer(id);
  await second.sees("the end of the past", () => second.last("replay-end") !== undefined);
  expect(second.last("hello")).toMatchObject({ terminal: { id, fresh: false }, framed: true });
  expect(second.output).toContain("one-21");
  expect(second.output.startsWith("\u001bc")).toBe(true);
  expect(second.output).toContain("\u001b[?2004h");
  second.type("exit 7\r");
  expect(await second.closed).toBe(1000);
  expect(second.last("exit")).toEqual({ type: "exit", code: 7, signal: "" });
});

it("security S18: terminals are listed with each viewer, renamed and ended", async () => {
  const id = randomUUID();
  const viewer = new Viewer(id, { keep: "3600", command: "sleep 600" });
  await viewer.sees("greeting", () => viewer.last("hello") !== undefined);
  await expect
    .poll(terminals)
    .toMatchObject([
      { id, command: "sleep 600", viewers: 1, viewer_names: ["owner"], owner: "owner", kept_until: null, cols: 80 },
    ]);
  if (process.platform === "linux") await expect.poll(async () => (await terminals())[0]?.foreground).toBe("sleep");
  expect((await rest("PATCH", `/workspaceagents/${agentId}/terminals/${id}`, '{"title":"a build"}')).status).toBe(200);
  viewer.close();
  await expect.poll(async () => (await terminals())[0]).toMatchObject({ title: "a build", viewers: 0 });
  const keptMs = Date.parse((await terminals())[0]!.kept_until!) - Date.now();
  expect(keptMs).toBeGreaterThan(3_000_000);
  expect(keptMs).toBeLessThanOrEqual(3_600_000);
  expect((await rest("DELETE", `/workspaceagents/${agentId}/terminals/${id}`)).status).toBe(204);
  await expect.poll(terminals).toEqual([]);
  expect((await rest("DELETE", `/workspaceagents/${agentId}/terminals/${id}`)).status).toBe(404);
});

it("the command line lists and ends terminals", async () => {
  const id = randomUUID();
  const viewer = new Viewer(id, { command: "sleep 500" });
  await viewer.sees("greeting", () => viewer.last("hello") !== undefined);
  const listed = await deployment.run(["terminals", "list", "demo", "--output", "json"]);
  expect(JSON.parse(listed.stdout)).toMatchObject([{ id, owner: "owner", viewers: 1 }]);
  const table = await deployment.run(["terminals", "list", "demo"]);
  expect(table.stdout).toMatch(new RegExp(`^TERMINAL .*\n${id.slice(0, 8)} `));
  const missing = await deployment.run(["terminals", "end", "demo", "ffffffff-none"]);
  expect([missing.code, missing.stderr]).toMatchObject([1, expect.stringContaining("coder terminals list demo")]);
  expect((await deployment.run(["terminals", "end", "demo", id.slice(0, 8)])).code).toBe(0);
  expect(await viewer.closed).toBe(1000);
  expect((await deployment.run(["terminals", "list", "demo"])).stderr).toContain("No terminal is running.");
});

it("two viewers share a terminal: the one that typed last sets the size and answers, one that only watches does neither", async () => {
  const id = randomUUID();
  const alice = new Viewer(id);
  await alice.sees("greeting", () => alice.last("size")?.yours === true);
  const bob = new Viewer(id, { width: "60", height: "20" });
  const watcher = new Viewer(id, { width: "10", height: "5", mode: "ro" });
  await watcher.sees("three viewers", () => watcher.last("viewers")?.count === 3);
  expect(bob.last("size")).toMatchObject({ cols: 80, yours: false });
  watcher.type("echo wrong\r");
  watcher.control({ type: "focus" });
  bob.type("stty size\r");
  await watcher.sees("bob's size", () => watcher.output.includes("20 60"));
  await alice.sees(
    "that bob sets it",
    () => alice.last("size")?.cols === 60 && alice.last("viewers")?.answers === false,
  );
  expect(alice.output).not.toContain("wrong");
  bob.control({ type: "detach-others" });
  expect([await alice.closed, await watcher.closed]).toEqual([4000, 4000]);
  bob.control({ type: "close", kill: true });
  expect(await bob.closed).toBe(1000);
  await expect.poll(terminals).toEqual([]);
});

const files = (path: string, more = "") => `/workspaceagents/${agentId}/files?path=${encodeURIComponent(path)}${more}`;

it("a file goes in and comes out whole, and each refusal has its status", async () => {
  const content = randomBytes(3_000_000);
  const put = await rest("PUT", files("up.bin"), content);
  expect(put.status).toBe(201);
  const sha256 = createHash("sha256").update(content).digest("hex");
  expect(await put.json()).toEqual({ path: join(home, "up.bin"), size: content.length, sha256 });
  expect(readFileSync(join(home, "up.bin")).equals(content)).toBe(true);
  const again = await rest("PUT", files("up.bin"), content);
  expect([again.status, await again.json()]).toMatchObject([409, { message: "A file of that name exists." }]);
  expect((await rest("PUT", files("up.bin", "&overwrite=true"), "short")).status).toBe(201);
  const got = await rest("GET", files("up.bin"));
  expect([got.status, await got.text()]).toEqual([200, "short"]);
  expect(got.headers.get("content-disposition")).toBe("attachment; filename=\"up.bin\"; filename*=UTF-8''up.bin");
  expect(got.headers.get("content-type")).toBe("application/octet-stream");
  expect(got.headers.get("content-security-policy")).toContain("sandbox");
  expect((await rest("GET", files("missing"))).status).toBe(404);
  expect((await rest("PUT", files("../up.bin"), "x")).status).toBe(400);
  expect((await rest("PUT", files("nowhere/up.bin"), "x")).status).toBe(404);
  const tooLong = await fetch(`${deployment.url}/api/v2${files("big")}`, {
    method: "PUT",
    headers: { ...headers(), "Content-Length": String(2 ** 31) },
    body: "x",
  }).catch(() => undefined);
  expect(tooLong === undefined || tooLong.status === 413).toBe(true);
  expect(existsSync(join(home, "big"))).toBe(false);
});

it("an upload goes to the directory of the terminal's shell", async () => {
  const id = randomUUID();
  mkdirSync(join(home, "deep"));
  const viewer = new Viewer(id);
  await viewer.sees("greeting", () => viewer.last("hello") !== undefined);
  viewer.type("cd deep && echo in-$((1+1))\r");
  await viewer.sees("the directory", () => viewer.output.includes("in-2"));
  writeFileSync(join(home, "here"), "");
  const put = await rest("PUT", files("dropped", `&terminal=${id}`), "x");
  expect(await put.json()).toMatchObject({ path: join(home, "deep/dropped") });
  viewer.control({ type: "close", kill: true });
  await viewer.closed;
});
