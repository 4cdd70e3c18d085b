import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { duplexPair, eventually, isAlive } from "../ssh/testing.ts";
import { TerminalService } from "./terminal-service.ts";
import { ENDPOINTS, Fixture, ID, TestViewer } from "./testing.ts";

const OTHER_ID = "7a1c2f00-0000-4000-8000-000000000001";
const MINUTE = 60_000;

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

test("a new id starts the command with its size, the sessions' environment and a terminal type", async () => {
  const t = new Fixture();
  t.view({ Command: "echo hi", BackendType: "screen" });
  await eventually("started", () => t.programs.length === 1);
  expect(t.programs[0]!.options).toMatchObject({
    file: "/bin/bash",
    args: ["-c", "echo hi"],
    size: { rows: 24, columns: 80 },
    environment: { TERM: "xterm-256color", CODER: "true", CODER_WORKSPACE_NAME: "dev", USER: "tester" },
  });
});

test("an empty command is the login shell", async () => {
  const t = new Fixture();
  t.view();
  await eventually("started", () => t.programs.length === 1);
  expect(t.programs[0]!.options).toMatchObject({ name: "-bash", args: [] });
});

test("all viewers of one id see the output, the later one the past first; both type, the size of the one that typed last applies", async () => {
  const t = new Fixture();
  const first = t.view();
  await eventually("started", () => t.programs.length === 1);
  const program = t.programs[0]!;
  program.screen.write("one ");
  await first.sees("one");
  const second = t.view({ Height: 50, Width: 132 });
  await second.sees("one ");
  program.screen.write("two");
  await Promise.all([first.sees("one two"), second.sees("one two")]);
  first.send({ data: "a", height: 10, width: 20 });
  second.send({ data: "b" });
  second.send({ height: 0, width: 99 });
  let typed = "";
  await eventually("both typed", () => {
    typed += program.typed();
    return typed.length === 2;
  });
  expect([...typed].sort().join("")).toBe("ab");
  expect(program.sizes).toEqual([
    { rows: 24, columns: 80 },
    { rows: 50, columns: 132 },
    { rows: 10, columns: 20 },
    { rows: 50, columns: 132 },
  ]);
  expect(t.programs).toHaveLength(1);
  expect(t.service.viewers).toBe(2);
});

test("the program outlives its connections for five minutes, counted from the last one's end", async () => {
  const t = new Fixture();
  const first = t.view();
  await eventually("attached", () => t.service.viewers === 1);
  const program = t.programs[0]!;
  t.time.advance(60 * MINUTE); // attended, so there is no limit
  expect(program.closed).toBe(false);
  first.stream.destroy();
  await eventually("left", () => t.service.viewers === 0);
  program.screen.write("without viewers");
  t.time.advance(4 * MINUTE);
  const second = t.view();
  await second.sees("without viewers");
  t.time.advance(4 * MINUTE);
  expect(program.closed).toBe(false);
  second.stream.end();
  await eventually("left", () => t.service.viewers === 0);
  t.time.advance(5 * MINUTE - 1);
  expect(program.closed).toBe(false);
  t.time.advance(1);
  expect(program.closed).toBe(true);
  await eventually("forgotten", () => t.service.terminals === 0);
});

test("a client may ask for more than the five minutes", async () => {
  const t = new Fixture();
  const first = t.view({ KeepSeconds: 3_600 });
  await eventually("attached", () => t.service.viewers === 1);
  const program = t.programs[0]!;
  first.stream.destroy();
  await eventually("left", () => t.service.viewers === 0);
  t.time.advance(60 * MINUTE - 1);
  expect(program.closed).toBe(false);
  t.time.advance(1);
  expect(program.closed).toBe(true);
});

test("the program's end closes all viewers after its last output, and the id is free again", async () => {
  const t = new Fixture();
  const viewers = [t.view(), t.view()];
  await eventually("attached", () => t.service.viewers === 2);
  const program = t.programs[0]!;
  program.screen.write("bye");
  await viewers[0]!.sees("bye");
  program.exit();
  await eventually("closed", () => viewers.every(({ ended }) => ended));
  expect(viewers.map(({ seen }) => seen)).toEqual(["bye", "bye"]);
  t.view();
  await eventually("started again", () => t.programs.length === 2);
});

test("a single slow viewer makes the program wait and loses nothing", async () => {
  const t = new Fixture();
  const viewer = new TestViewer(t.service, { ID, Height: 24, Width: 80 }, { read: false });
  await eventually("attached", () => t.service.viewers === 1);
  const program = t.programs[0]!;
  const block = Buffer.alloc(64 * 1024, 0x61);
  let written = 0;
  while (written < 64 && program.screen.write(block)) {
    written++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(written).toBeLessThan(32); // the program was held up
  expect(t.service.viewers).toBe(1);
  viewer.read();
  await eventually("all arrived", () => viewer.seen.length === (written + 1) * block.length);
});

test("a viewer that falls behind the others is dropped, and the program does not wait for it", async () => {
  const t = new Fixture();
  const slow = new TestViewer(t.service, { ID, Height: 24, Width: 80 }, { read: false });
  const fast = t.view();
  await eventually("attached", () => t.service.viewers === 2);
  const program = t.programs[0]!;
  const block = Buffer.alloc(64 * 1024, 0x61);
  for (let i = 0; i < 48; i++) if (!program.screen.write(block)) await once(program.screen, "drain");
  await eventually("all arrived at the fast one", () => fast.seen.length === 48 * block.length);
  expect(t.service.viewers).toBe(1);
  expect(t.log.join()).toContain("fell behind");
  await eventually("cut off", () => slow.stream.destroyed);
});

test("malformed input ends that viewer only", async () => {
  const t = new Fixture();
  const [bad, good] = [t.view(), t.view()];
  await eventually("attached", () => t.service.viewers === 2);
  bad.stream.write("not json");
  await eventually("dropped", () => bad.stream.destroyed);
  t.programs[0]!.screen.write("still here");
  await good.sees("still here");
});

test("a refusal is shown in the terminal, and the connection closed", async () => {
  const t = new Fixture({ maxTerminals: 1 });
  const container = t.view({ Container: "db" });
  await container.sees("coder agent: this agent has no containers\r\n");
  const backend = t.view({ BackendType: "tmux" });
  await backend.sees('there is no backend "tmux"');
  t.view();
  await eventually("attached", () => t.service.viewers === 1);
  const another = t.view({ ID: OTHER_ID });
  await another.sees("too many terminals");
  await eventually("closed", () => [container, backend, another].every(({ ended }) => ended));
  expect(t.programs).toHaveLength(1);
});

test("a program that cannot be started is reported, and the id stays free", async () => {
  const t = new Fixture({
    start: () => {
      throw new Error("forkpty(3) failed");
    },
  });
  const viewer = t.view();
  await viewer.sees("the program could not be started: forkpty(3) failed");
  expect(t.service.terminals).toBe(0);
});

test("a connection that sends nothing, or garbage, is closed", async () => {
  const t = new Fixture();
  const [silent, far] = duplexPair();
  t.service.handleConnection(far, ENDPOINTS);
  t.time.advance(15_000);
  await eventually("closed", () => silent.destroyed);
  const nonsense = t.view({ ID: "x" });
  await eventually("closed", () => nonsense.stream.destroyed);
  expect(t.programs).toHaveLength(0);
});

test("a viewer that never reads the last output is disconnected", async () => {
  const t = new Fixture();
  const viewer = new TestViewer(t.service, { ID, Height: 24, Width: 80 }, { read: false });
  await eventually("attached", () => t.service.viewers === 1);
  t.programs[0]!.screen.write(Buffer.alloc(600 * 1024));
  await eventually("held up", () => t.programs[0]!.stream.isPaused());
  t.programs[0]!.exit();
  await eventually("ended", () => t.service.terminals === 0);
  t.time.advance(10_000);
  await eventually("cut off", () => viewer.stream.destroyed);
});

test("on a real terminal: resize, reconnect to the running shell, and its exit", async () => {
  const home = mkdtempSync(join(tmpdir(), "terminal-service-"));
  const service = new TerminalService({
    environment: () => ({ CODER: "true" }),
    directory: () => undefined,
    user: () => ({ name: "tester", shell: "/bin/bash", home, uid: process.getuid?.() ?? 0 }),
    logger: { level: "error", log: () => undefined },
  });
  cleanups.push(async () => {
    await service.close({ graceMs: 0 });
    rmSync(home, { recursive: true, force: true });
  });
  const first = new TestViewer(service, { ID, Height: 33, Width: 101 });
  first.send({ data: "stty size; echo $TERM-$CODER pid=$$.\r" });
  await first.sees("33 101");
  await first.sees("xterm-256color-true pid=");
  await eventually("the pid", () => /pid=\d+\./.test(first.seen));
  const pid = Number(/pid=(\d+)\./.exec(first.seen)![1]);
  first.stream.destroy();
  await eventually("left", () => service.viewers === 0);
  const second = new TestViewer(service, { ID, Height: 40, Width: 120 });
  await second.sees(`pid=${pid}.`);
  second.send({ data: "stty size; echo again=$$.\r" });
  await second.sees("40 120");
  await second.sees(`again=${pid}.`);
  second.send({ data: "exit\r" });
  await eventually("closed", () => second.ended);
  expect(isAlive(pid)).toBe(false);
});

test("security 34, S18: a terminal of one user is not shown to another, even with its id", async () => {
  const t = new Fixture();
  const ann = t.view({ User: "ann" });
  await eventually("attached", () => t.service.viewers === 1);
  const other = t.view({ User: "bob" });
  await other.sees("belongs to another user");
  await eventually("closed", () => other.ended);
  t.view({ User: "ann" });
  await eventually("attached again", () => t.service.viewers === 2);
  expect(ann.seen).not.toContain("another user");
});

test("a terminal created through a client's own tunnel belongs to the first user that connects through the server", async () => {
  const t = new Fixture();
  t.view({});
  await eventually("attached", () => t.service.viewers === 1);
  t.view({ User: "ann" });
  await eventually("in the browser as well", () => t.service.viewers === 2);
  const other = t.view({ User: "bob" });
  await other.sees("belongs to another user");
});

test("closing the service hangs up what runs", async () => {
  const service = new TerminalService({
    environment: () => ({}),
    directory: () => undefined,
    user: () => ({ name: "tester", shell: "/bin/bash", home: "/", uid: process.getuid?.() ?? 0 }),
    logger: { level: "error", log: () => undefined },
  });
  const viewer = new TestViewer(service, { ID, Command: "echo pid=$$.; sleep 1000" });
  await eventually("the pid", () => /pid=\d+\./.test(viewer.seen));
  const pid = Number(/pid=(\d+)\./.exec(viewer.seen)![1]);
  await service.close({ graceMs: 2_000 });
  await eventually("the program is gone", () => !isAlive(pid));
  await eventually("closed", () => viewer.ended || viewer.stream.destroyed);
});
