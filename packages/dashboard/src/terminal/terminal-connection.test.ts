/** The connection's rules in virtual time, over a transport that the test controls. */
import { setImmediate } from "node:timers/promises";
import type { TerminalControl } from "coder-protocol/terminal/events";
import { expect, it } from "vitest";
import { type Cause, type ConnectionState, type Surroundings, TerminalConnection } from "./terminal-connection.ts";
import type { TerminalTarget, TransportEnd, TransportEvents } from "./transport.ts";

const TARGET: TerminalTarget = { agentId: "agent", id: "id", command: "", keepSeconds: 300, readOnly: false };
const HELLO = {
  type: "hello",
  terminal: { id: "id", started_at: "", command: "", fresh: false },
  viewer: 1,
  size: { cols: 80, rows: 24 },
  framed: true,
} as const;

class World implements Surroundings {
  time = 0;
  isVisible = true;
  cause: Cause = { kind: "unknown", reason: "" };
  readonly #timers = new Set<{ at: number; callback: () => void }>();
  readonly #returns: (() => void)[] = [];

  now = () => this.time;
  random = () => 0.5;
  visible = () => this.isVisible;
  onReturn = (callback: () => void) => void this.#returns.push(callback);
  findCause: Surroundings["findCause"] = async () => this.cause;
  after = (ms: number, callback: () => void) => {
    const timer = { at: this.time + ms, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };
  comeBack = () => {
    for (const callback of this.#returns) callback();
  };

  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.time = next.at;
      next.callback();
    }
    this.time = end;
  }
}

interface Attempt {
  readonly events: TransportEvents;
  readonly sent: unknown[];
  readonly controls: TerminalControl[];
  closed: boolean;
}

function setUp(target: Partial<TerminalTarget> = {}) {
  const world = new World();
  const attempts: Attempt[] = [];
  const states: ConnectionState[] = [];
  const openings: boolean[] = [];
  let size = { cols: 80, rows: 24 };
  const connection = new TerminalConnection(
    { target: { ...TARGET, ...target }, known: false },
    {
      around: world,
      open: (_target, _size, events) => {
        const attempt: Attempt = { events, sent: [], controls: [], closed: false };
        attempts.push(attempt);
        return {
          input: (message) => {
            attempt.sent.push(message);
            return true;
          },
          control: (control) => attempt.controls.push(control),
          close: () => {
            attempt.closed = true;
          },
        };
      },
    },
    {
      state: (state) => states.push(state),
      opened: (again) => openings.push(again),
      output: () => undefined,
      event: () => undefined,
      size: () => size,
    },
  );
  const last = () => attempts.at(-1)!;
  const lose = async (end: TransportEnd = { kind: "unknown" }) => {
    last().events.closed(end);
    await setImmediate(); // lets the lookup of the cause begin
  };
  const resize = (cols: number, rows: number) => {
    size = { cols, rows };
    connection.resized();
  };
  return { world, attempts, states, openings, connection, last, lose, resize };
}

it("a connection that had lasted is made again at once, then with growing delays", async () => {
  const { world, attempts, openings, last, lose } = setUp();
  last().events.opened();
  world.advance(11_000);
  await lose();
  world.advance(0);
  expect(attempts.length).toBe(2);
  const delays: number[] = [];
  for (let round = 0; round < 9; round++) {
    await lose();
    const from = world.time;
    const count = attempts.length;
    while (attempts.length === count) world.advance(10);
    delays.push(world.time - from);
  }
  expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
  last().events.opened();
  expect(openings).toEqual([false, true]);
});

it("hidden it tries once a minute, and at once when a person or the network comes back", async () => {
  const { world, attempts, last, lose } = setUp();
  last().events.opened();
  world.isVisible = false;
  await lose();
  world.advance(59_000);
  world.comeBack();
  expect(attempts.length).toBe(1);
  world.isVisible = true;
  world.comeBack();
  expect(attempts.length).toBe(2);
});

it("an attempt that got lost without a sign ends after 25 s, or when the network comes back", () => {
  const { world, attempts, states } = setUp();
  world.advance(24_000);
  expect(attempts.length).toBe(1);
  world.advance(2_000);
  expect(attempts[0]!.closed).toBe(true);
  expect(states.at(-1)!.kind).toBe("connecting");
  expect(attempts.length).toBe(2);
  world.advance(1_000);
  world.comeBack();
  expect(attempts.length).toBe(2);
  world.advance(1_500);
  world.comeBack();
  expect([attempts[1]!.closed, attempts.length]).toEqual([true, 3]);
});

it("25 s without a frame end a connection whose peer sends beats, and no other", () => {
  const silent = setUp();
  silent.last().events.opened();
  silent.world.advance(3_600_000);
  expect(silent.attempts.length).toBe(1);
  const { world, attempts, last } = setUp();
  last().events.opened();
  last().events.event(HELLO);
  for (let beat = 0; beat < 10; beat++) {
    world.advance(10_000);
    last().events.event({ type: "beat" });
  }
  expect(attempts.length).toBe(1);
  world.advance(25_000);
  world.advance(0);
  expect([attempts[0]!.closed, attempts.length]).toEqual([true, 2]);
});

it("after a peer that says hello, the next connection is open only when it has said so too", async () => {
  const { states, connection, last, lose, world } = setUp();
  last().events.opened();
  last().events.event(HELLO);
  world.advance(20_000);
  await lose();
  world.advance(0);
  last().events.opened();
  expect(states.at(-1)!.kind).toBe("connecting");
  expect(connection.send("rm -rf")).toBe(false);
  last().events.event(HELLO);
  expect(states.at(-1)!.kind).toBe("open");
  expect(connection.send("ls")).toBe(true);
});

it("keys typed while it is away are not sent later", async () => {
  const { world, connection, last, lose } = setUp();
  last().events.opened();
  await lose();
  expect(connection.send("rm -rf /\r")).toBe(false);
  world.advance(1_000);
  last().events.opened();
  expect(last().sent).toEqual([{ height: 24, width: 80 }]);
});

it("sizes are sent at most every 50 ms, the last one always, never 0 and never from a hidden page", () => {
  const { world, last, resize } = setUp();
  last().events.opened();
  for (let width = 81; width <= 120; width++) {
    resize(width, 24);
    world.advance(5);
  }
  world.advance(100);
  const widths = last().sent.map((message) => (message as { width: number }).width);
  expect(widths.length).toBeLessThanOrEqual(6);
  expect(widths.at(-1)).toBe(120);
  resize(0, 0);
  world.advance(100);
  resize(Number.NaN, 24);
  world.advance(100);
  world.isVisible = false;
  resize(60, 20);
  world.advance(100);
  expect(last().sent.length).toBe(widths.length);
});

it("each end has its consequence", async () => {
  for (const kind of ["ended", "denied"] as const) {
    const { attempts, states, world, connection, lose } = setUp();
    await lose({ kind });
    world.advance(3_600_000);
    world.comeBack();
    connection.rest();
    connection.wake();
    expect([states.at(-1)!.kind, attempts.length]).toEqual([kind, 1]);
  }
  for (const cause of [{ kind: "denied" }, { kind: "gone" }] as const) {
    const { attempts, states, world, lose } = setUp();
    world.cause = cause;
    await lose();
    world.advance(3_600_000);
    expect([states.at(-1)!.kind, attempts.length]).toEqual([cause.kind, 1]);
  }
  const lost = setUp();
  await lost.lose({ kind: "lost", reason: "no connection to the workspace" });
  expect(lost.states.at(-1)).toMatchObject({ kind: "waiting", reason: "No connection to the workspace." });
  const restarting = setUp();
  await restarting.lose({ kind: "restarting" });
  restarting.world.advance(0);
  expect(restarting.attempts.length).toBe(2);
});

it("a terminal that was taken over comes back only when it is asked for", async () => {
  const { attempts, states, world, connection, lose } = setUp();
  await lose({ kind: "replaced" });
  world.advance(3_600_000);
  world.comeBack();
  expect([states.at(-1)!.kind, attempts.length]).toEqual(["replaced", 1]);
  connection.wake();
  expect(attempts.length).toBe(2);
});

it("a terminal at rest is disconnected until it wakes", () => {
  const { attempts, states, world, connection, last } = setUp();
  last().events.opened();
  connection.rest();
  expect([states.at(-1)!.kind, attempts[0]!.closed]).toEqual(["resting", true]);
  world.advance(3_600_000);
  world.comeBack();
  expect(attempts.length).toBe(1);
  connection.wake();
  connection.wake();
  expect(attempts.length).toBe(2);
});

it("controls go only to peers that know them, and a viewer that only watches sends nothing", () => {
  const plain = setUp();
  plain.last().events.opened();
  plain.connection.control({ type: "focus" });
  expect(plain.last().controls).toEqual([]);
  const watching = setUp({ readOnly: true });
  watching.last().events.opened();
  watching.last().events.event(HELLO);
  watching.resize(100, 30);
  watching.world.advance(100);
  expect(watching.connection.send("x")).toBe(false);
  watching.connection.control({ type: "ack", bytes: 1 });
  expect([watching.last().sent, watching.last().controls]).toEqual([[], [{ type: "ack", bytes: 1 }]]);
});

it("a cause that is found only after a rest and a new attempt changes nothing", async () => {
  const { world, attempts, states, connection, last } = setUp();
  const { promise, resolve } = Promise.withResolvers<Cause>();
  world.findCause = () => promise;
  last().events.opened();
  last().events.closed({ kind: "unknown" });
  connection.rest();
  connection.wake();
  last().events.opened();
  resolve({ kind: "unknown", reason: "" });
  await setImmediate();
  world.advance(60_000);
  expect([attempts.length, last().closed, states.at(-1)]).toEqual([2, false, { kind: "open" }]);
});

it("waits and tries again while a silent deployment keeps the cause to itself", async () => {
  const { world, attempts, states, connection, last } = setUp();
  const lookups: { answer: (cause: Cause) => void; givenUp: AbortSignal }[] = [];
  world.findCause = (_agentId, givenUp) => new Promise((answer) => void lookups.push({ answer, givenUp }));
  last().events.opened();
  last().events.closed({ kind: "unknown" });
  expect(states.at(-1)).toEqual({ kind: "waiting", retryAt: 250, reason: "" });
  expect(connection.send("x")).toBe(false);
  lookups[0]!.answer({ kind: "unknown", reason: "The workspace is offline." });
  await setImmediate();
  expect(states.at(-1)).toEqual({ kind: "waiting", retryAt: 250, reason: "The workspace is offline." });
  world.advance(250);
  last().events.closed({ kind: "unknown" });
  connection.retryNow();
  expect([attempts.length, lookups[1]!.givenUp.aborted]).toEqual([3, true]);
  lookups[1]!.answer({ kind: "denied" });
  await setImmediate();
  expect(states.at(-1)).toEqual({ kind: "connecting" });
});
