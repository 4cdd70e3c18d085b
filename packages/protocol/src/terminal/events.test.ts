import { expect, it } from "vitest";
import { parseTerminalEvent, type TerminalEvent, terminalControl } from "./events.ts";

const EVENTS: readonly TerminalEvent[] = [
  {
    type: "hello",
    terminal: { id: "a", started_at: "2026-01-01T00:00:00Z", command: "", fresh: true },
    viewer: 1,
    size: { cols: 80, rows: 24 },
    framed: true,
  },
  { type: "replay-end" },
  { type: "size", cols: 60, rows: 20, yours: false, name: "bob" },
  { type: "viewers", count: 2, names: ["alice", "bob"], answers: true },
  { type: "beat" },
  { type: "path", kind: "direct", region: "", latency_ms: 12 },
  { type: "path", kind: "relayed", region: "Berlin", latency_ms: undefined },
  { type: "exit", code: 0, signal: "" },
  { type: "notice", text: "words" },
  { type: "replaced" },
];

it("every event survives its JSON", () => {
  for (const event of EVENTS) expect(parseTerminalEvent(JSON.stringify(event))).toEqual(event);
});

it("an event with any field missing or of another type is not an event", () => {
  const drop = (value: object): object[] =>
    Object.entries(value).flatMap(([name, field]) => [
      ...(field === undefined || name === "latency_ms"
        ? []
        : [
            { ...value, [name]: undefined },
            { ...value, [name]: {} },
          ]),
      ...(typeof field === "object" && field !== null && !Array.isArray(field)
        ? drop(field).map((inner) => ({ ...value, [name]: inner }))
        : []),
    ]);
  for (const event of EVENTS)
    for (const broken of drop(event))
      expect([broken, parseTerminalEvent(JSON.stringify(broken))]).toEqual([broken, undefined]);
});

it("other text is not an event, however long", () => {
  for (const text of [
    "",
    "null",
    "[]",
    '"hello"',
    "{",
    '{"type":"later"}',
    `{"type":"notice","text":"${"x".repeat(20_000)}"}`,
  ])
    expect(parseTerminalEvent(text)).toBeUndefined();
});

it("reads controls, and does not take input for one", () => {
  expect(terminalControl({ type: "ack", bytes: 7 })).toEqual({ type: "ack", bytes: 7 });
  expect(terminalControl({ type: "close", kill: true })).toEqual({ type: "close", kill: true });
  expect(terminalControl({ type: "close" })).toEqual({ type: "close", kill: false });
  for (const value of [{ type: "ack", bytes: -1 }, { type: "ack", bytes: 1.5 }, { type: "x" }, { data: "ls" }])
    expect(terminalControl(value)).toBeUndefined();
});
