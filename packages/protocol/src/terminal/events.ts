/**
 * Events of a terminal for its viewers, and what viewers send besides input. Between the agent and a viewer that asked for
 * framing they are records of kind "event" ({@link ./records.ts}); between the server and a page with `control=1` they
 * are text frames of the WebSocket. Output is never searched for events: a program cannot forge one.
 */

/** Each is one line of JSON. */
export type TerminalEvent =
  /** Once, before any output. */
  | {
      readonly type: "hello";
      readonly terminal: {
        readonly id: string;
        /** RFC 3339; empty where it is not known. */
        readonly started_at: string;
        readonly command: string;
        /** False if earlier output follows. */
        readonly fresh: boolean;
      };
      /** Number of this viewer; no other viewer of the terminal has had it. */
      readonly viewer: number;
      readonly size: { readonly cols: number; readonly rows: number };
      /** Whether the end of earlier output is marked by "replay-end". */
      readonly framed: boolean;
    }
  | { readonly type: "replay-end" }
  /**
   * The size of the program's terminal; With `yours` this viewer sets it now, otherwise the viewer with that name does.
   */
  | {
      readonly type: "size";
      readonly cols: number;
      readonly rows: number;
      readonly yours: boolean;
      readonly name: string;
    }
  /** `answers`: this viewer's emulator answers the program's queries; exactly one does. */
  | { readonly type: "viewers"; readonly count: number; readonly names: readonly string[]; readonly answers: boolean }
  | { readonly type: "beat" }
  | {
      readonly type: "path";
      readonly kind: "direct" | "relayed";
      readonly region: string;
      readonly latency_ms?: number | undefined;
    }
  | { readonly type: "exit"; readonly code: number; readonly signal: string }
  | { readonly type: "notice"; readonly text: string }
  /** Another viewer asked all others to leave; the end of the connection follows. */
  | { readonly type: "replaced" };

/** What a viewer sends besides input. */
export type TerminalControl =
  /** All bytes of output that the viewer has processed since the connection began. */
  | { readonly type: "ack"; readonly bytes: number }
  /** The viewer was focused: the program gets its size. */
  | { readonly type: "focus" }
  /** All other viewers leave. */
  | { readonly type: "detach-others" }
  /** Ends the connection and, with `kill`, the program. */
  | { readonly type: "close"; readonly kill: boolean };

/** Unacknowledged output at which a sender pauses, and at which it continues. */
export const OUTPUT_WINDOW_BYTES = 512 * 1024;
export const OUTPUT_RESUME_BYTES = 256 * 1024;

const MAX_EVENT_LENGTH = 16 * 1024;
const MAX_NAMES = 64;

/** Undefined for anything that is not an event of this version: a later version may have more. */
export function parseTerminalEvent(text: string): TerminalEvent | undefined {
  if (text.length > MAX_EVENT_LENGTH) return undefined;
  const value = parseObject(text);
  if (value === undefined) return undefined;
  const { type } = value;
  switch (type) {
    case "hello":
      return hello(value);
    case "replay-end":
    case "beat":
    case "replaced":
      return { type };
    case "size": {
      const { cols, rows, yours, name } = value;
      return isCells(cols) && isCells(rows) && typeof yours === "boolean" && typeof name === "string"
        ? { type, cols, rows, yours, name }
        : undefined;
    }
    case "viewers": {
      const { count, names, answers } = value;
      return isCount(count) && isNames(names) && typeof answers === "boolean"
        ? { type, count, names, answers }
        : undefined;
    }
    case "path": {
      const { kind, region, latency_ms: latency } = value;
      if ((kind !== "direct" && kind !== "relayed") || typeof region !== "string") return undefined;
      return { type, kind, region, latency_ms: typeof latency === "number" ? latency : undefined };
    }
    case "exit":
      return typeof value["code"] === "number" && typeof value["signal"] === "string"
        ? { type, code: value["code"], signal: value["signal"] }
        : undefined;
    case "notice":
      return typeof value["text"] === "string" ? { type, text: value["text"] } : undefined;
    default:
      return undefined;
  }
}

/** Undefined for anything else, such as input. */
export function terminalControl(value: Readonly<Record<string, unknown>>): TerminalControl | undefined {
  const { type } = value;
  switch (type) {
    case "ack":
      return isCount(value["bytes"]) ? { type, bytes: value["bytes"] } : undefined;
    case "focus":
    case "detach-others":
      return { type };
    case "close":
      return { type, kill: value["kill"] === true };
    default:
      return undefined;
  }
}

function hello(value: Readonly<Record<string, unknown>>): TerminalEvent | undefined {
  const { terminal, viewer, size, framed } = value;
  if (!isObject(terminal) || !isObject(size) || !isCount(viewer) || typeof framed !== "boolean") return undefined;
  const { id, started_at, command, fresh } = terminal;
  const { cols, rows } = size;
  if (typeof id !== "string" || typeof started_at !== "string" || typeof command !== "string") return undefined;
  if (typeof fresh !== "boolean" || !isCells(cols) || !isCells(rows)) return undefined;
  return { type: "hello", terminal: { id, started_at, command, fresh }, viewer, size: { cols, rows }, framed };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined; // not JSON: not an event
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isCells(value: unknown): value is number {
  return isCount(value) && value <= 65_535;
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= MAX_NAMES && value.every((name) => typeof name === "string");
}
