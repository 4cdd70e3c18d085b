/** The bridge between a page and an agent, both simulated by the test. */
import { EventEmitter } from "node:events";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { TerminalEvent } from "coder-protocol/terminal/events";
import { EVENT_RECORD, OUTPUT_RECORD, REPLAY_RECORD, toRecords } from "coder-protocol/terminal/records";
import { expect, test, vi } from "vitest";
import type { WebSocket } from "ws";
import type { PtyQuery } from "./pty-query.ts";
import { TerminalBridge } from "./terminal-bridge.ts";

const QUERY: PtyQuery = {
  id: "0b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10",
  rows: 24,
  columns: 80,
  command: "top",
  container: "",
  containerUser: "",
  backend: "",
  keepSeconds: 86_400,
  control: true,
  readOnly: false,
};

/** The part of a WebSocket that the bridge uses. */
class Page extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  output = "";
  readonly events: TerminalEvent[] = [];
  closed: { code: number; reason: string } | undefined;

  send(data: string | Uint8Array, _options?: unknown, done?: () => void): void {
    if (typeof data === "string") this.events.push(JSON.parse(data));
    else this.output += Buffer.from(data).toString("latin1");
    done?.();
  }
  isPaused = false;
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  close(code: number, reason: string): void {
    if (this.closed !== undefined || this.readyState !== this.OPEN) return;
    this.closed = { code, reason };
    this.emit("close");
  }
  says(message: unknown, binary = false): void {
    this.emit("message", Buffer.from(JSON.stringify(message)), binary);
  }
}

class AgentEnd extends Duplex {
  got = "";
  /** While set, the agent's end accepts nothing. */
  stalled = false;
  #taken: (() => void) | undefined;
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.got += chunk.toString("latin1");
    if (this.stalled) this.#taken = done;
    else done();
  }
  goOn(): void {
    this.stalled = false;
    this.#taken?.();
  }
  /** Everything after the first message. */
  get input(): string {
    const head = Buffer.from(this.got, "latin1");
    return this.got.slice(2 + head.readUInt16LE());
  }
  get init(): Record<string, unknown> {
    const head = Buffer.from(this.got, "latin1");
    return JSON.parse(head.subarray(2, 2 + head.readUInt16LE()).toString());
  }
}

function setUp(options: { query?: Partial<PtyQuery>; framed?: boolean; fresh?: boolean } = {}) {
  const page = new Page();
  const agent = new AgentEnd();
  const problems: string[] = [];
  const bridge = new TerminalBridge(page as unknown as WebSocket, agent, {
    query: { ...QUERY, ...options.query },
    user: { id: "alice-id", username: "alice" },
    framed: options.framed ?? true,
    fresh: options.fresh ?? true,
    onMisframed: (problem) => problems.push(problem),
  });
  const event = (value: unknown) => toRecords(EVENT_RECORD, Buffer.from(JSON.stringify(value)));
  const receives = async (...chunks: Uint8Array[]) => {
    for (const chunk of chunks) agent.push(chunk);
    await setImmediate();
    await setImmediate();
  };
  return { page, agent, bridge, problems, event, receives };
}

test("the first message names the viewer, how long to keep the program, and the mode", () => {
  expect(setUp({ query: { readOnly: true } }).agent.init).toEqual({
    ID: QUERY.id,
    Height: 0,
    Width: 0,
    Command: "top",
    Container: "",
    ContainerUser: "",
    BackendType: "",
    User: "alice-id",
    UserName: "alice",
    KeepSeconds: 86_400,
    Framed: true,
    ReadOnly: true,
  });
});

test("records become binary frames and text frames; an event of another version does not pass", async () => {
  const { page, receives, event } = setUp();
  await receives(
    event({ type: "viewers", count: 1, names: ["alice"], answers: true }),
    toRecords(REPLAY_RECORD, Buffer.from("past ")),
    event({ type: "replay-end" }),
    event({ type: "later" }),
    toRecords(OUTPUT_RECORD, Buffer.from('now {"type":"exit","code":0,"signal":""}')),
  );
  expect(page.events.map(({ type }) => type)).toEqual(["viewers", "replay-end"]);
  expect(page.output).toBe('past now {"type":"exit","code":0,"signal":""}');
});

test("each end of a framed stream has its code", async () => {
  const exit = setUp();
  await exit.receives(exit.event({ type: "exit", code: 3, signal: "" }));
  exit.agent.push(null);
  await setImmediate();
  expect(exit.page.closed).toEqual({ code: 1000, reason: "" });
  expect(exit.page.events).toEqual([{ type: "exit", code: 3, signal: "" }]);
  const replaced = setUp();
  await replaced.receives(replaced.event({ type: "replaced" }));
  replaced.agent.push(null);
  await setImmediate();
  expect(replaced.page.closed).toEqual({ code: 4000, reason: "replaced" });
  const refused = setUp();
  await refused.receives(refused.event({ type: "notice", text: "too many viewers of this terminal" }));
  refused.agent.push(null);
  await setImmediate();
  expect(refused.page.closed).toEqual({ code: 1011, reason: "too many viewers of this terminal" });
  const lost = setUp();
  lost.agent.destroy();
  await setImmediate();
  expect(lost.page.closed?.code).toBe(1011);
});

test("a stream that holds no records ends, and the agent is asked again what it can do", async () => {
  const { page, problems, receives } = setUp();
  await receives(Buffer.from("$ raw prompt"));
  expect(page.closed?.code).toBe(1011);
  expect(problems.length).toBe(1);
  expect(page.output).toBe("");
});

test("over a stock agent the server greets, output stays raw, and its end is the program's", async () => {
  const { page, agent, receives } = setUp({ framed: false, fresh: false });
  expect(page.events).toMatchObject([{ type: "hello", terminal: { fresh: false, command: "top" }, framed: false }]);
  await receives(Buffer.from([2, 0, 0, 1, 65]));
  expect(page.output).toBe("\u0002\u0000\u0000\u0001A");
  page.says({ type: "ack", bytes: 5 });
  page.says({ type: "focus" });
  page.says({ type: "close", kill: true });
  expect(agent.input).toBe("");
  expect(page.events.at(-1)).toMatchObject({ type: "notice" });
  agent.push(null);
  await setImmediate();
  expect(page.closed?.code).toBe(1000);
});

test("a page without control frames gets output alone, and may send input as text", async () => {
  const { page, agent, receives } = setUp({ query: { control: false }, framed: false });
  page.says({ data: "ls" });
  page.says({ type: "close", kill: true });
  await receives(Buffer.from("out"));
  expect([page.events, page.output, agent.input]).toEqual([[], "out", '{"data":"ls"}{"type":"close","kill":true}']);
});

test("a read-only page sends no input, in whatever frame; its controls pass and the agent judges them", () => {
  const { page, agent } = setUp({ query: { readOnly: true } });
  page.says({ data: "rm" }, true);
  page.says({ data: "rm" });
  page.says({ height: 5, width: 5 }, true);
  page.says({ type: "ack", bytes: 0 });
  page.says({ type: "later", data: "rm" });
  expect(agent.input).toBe('{"type":"ack","bytes":0}');
});

test("more than 512 KiB without an acknowledgement stop the reading; below 256 KiB it continues", async () => {
  const { page, agent, receives } = setUp();
  const piece = toRecords(OUTPUT_RECORD, Buffer.alloc(100 * 1024));
  await receives(...Array.from({ length: 6 }, () => piece));
  expect(agent.isPaused()).toBe(true);
  page.says({ type: "ack", bytes: 250 * 1024 });
  expect(agent.isPaused()).toBe(true);
  page.says({ type: "ack", bytes: 400 * 1024 });
  expect(agent.isPaused()).toBe(false);
  page.says({ type: "ack", bytes: Number.MAX_SAFE_INTEGER });
  await receives(...Array.from({ length: 6 }, () => piece));
  expect(agent.isPaused()).toBe(true);
});

test("a page that does not read stops the reading, acknowledgements or not", async () => {
  const { page, agent, receives } = setUp({ query: { control: false }, framed: false });
  page.bufferedAmount = 600 * 1024;
  await receives(Buffer.alloc(10));
  expect(agent.isPaused()).toBe(true);
});

const PIECE = toRecords(OUTPUT_RECORD, Buffer.alloc(100 * 1024));

test("acknowledgements that wait behind input of the page do not stop the output", async () => {
  const { page, agent, receives } = setUp();
  await receives(...Array.from({ length: 6 }, () => PIECE));
  expect(agent.isPaused()).toBe(true);
  agent.stalled = true;
  page.says({ data: "x".repeat(100_000) }, true);
  expect([page.isPaused, agent.isPaused()]).toEqual([true, false]);
  page.bufferedAmount = 600 * 1024; // what waits for the page still counts
  await receives(PIECE);
  expect(agent.isPaused()).toBe(true);
  page.bufferedAmount = 0;
  agent.goOn();
  await setImmediate();
  expect([page.isPaused, agent.isPaused()]).toEqual([false, true]); // the acknowledgements arrive now
  page.says({ type: "ack", bytes: 700 * 1024 });
  expect(agent.isPaused()).toBe(false);
});

test("controls wait for the agent as input does", async () => {
  const { page, agent } = setUp();
  agent.stalled = true;
  for (let count = 0; count < 10_000 && !page.isPaused; count++) page.says({ type: "focus" });
  expect([page.isPaused, agent.writableLength < 200_000]).toEqual([true, true]);
  agent.goOn();
  await setImmediate();
  expect(page.isPaused).toBe(false);
});

test("events count towards what waits for a page, and answers to a page that does not read are dropped", async () => {
  const { page, agent, receives, event } = setUp();
  page.bufferedAmount = 600 * 1024;
  await receives(event({ type: "notice", text: "n" }));
  expect(agent.isPaused()).toBe(true);
  const stock = setUp({ framed: false });
  stock.page.bufferedAmount = 600 * 1024;
  stock.page.says({ type: "close", kill: true });
  expect(stock.page.events.map(({ type }) => type)).toEqual(["hello"]);
});

test("a page that left before the bridge was created leaves no timer", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    const page = new Page();
    page.readyState = 3;
    new TerminalBridge(page as unknown as WebSocket, new AgentEnd(), {
      query: QUERY,
      user: { id: "alice-id", username: "alice" },
      framed: true,
      fresh: true,
      onMisframed: () => undefined,
    });
    await setImmediate();
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});
