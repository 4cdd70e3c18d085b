/**
 * What a terminal's client sends. First u16 little-endian length ‖ JSON:
 *
 * {"ID":"<uuid>","Height":24,"Width":80,"Command":"","Container":"","ContainerUser":"","BackendType":"","KeepSeconds":300,"User":"",
 * "UserName":"","Framed":true,"ReadOnly":false}
 *
 * then JSON objects with nothing between them: {"data":"…","height":24,"width":80}. Field names match in any case, unknown fields
 * are ignored. The last five are ours: KeepSeconds, how long the terminal is kept without viewers; User and UserName, whom the
 * server connects; Framed, output in records instead of raw bytes; ReadOnly, a viewer whose input has no effect. A framed viewer
 * also sends controls, objects with a "type".
 */
import { isCanonicalUuid } from "coder-protocol/addresses";
import { type TerminalControl, terminalControl } from "coder-protocol/terminal/events";

/** What the client requests when it connects. */
export interface TerminalInit {
  /** Lower-case UUID; the same id again selects the same terminal. */
  readonly id: string;
  /** 0 when unknown. */
  readonly rows: number;
  readonly columns: number;
  /** Empty for the login shell. */
  readonly command: string;
  readonly container: string;
  readonly backend: string;
  /** 0 for the agent's default. At most {@link MAX_KEEP_SECONDS}. */
  readonly keepSeconds: number;
  /** Empty when the client reached the agent through its own tunnel. */
  readonly user: string;
  /** Shown to other viewers; empty when unknown. */
  readonly userName: string;
  /** Output is sent in records, and controls are understood. */
  readonly framed: boolean;
  readonly readOnly: boolean;
}

export interface TerminalInput {
  readonly data: string;
  /** 0 in either for no resize. */
  readonly rows: number;
  readonly columns: number;
  /** Only from framed viewers; an object with a control has no other meaning. */
  readonly control?: TerminalControl | undefined;
}

/** A paste is a single object. */
const MAX_OBJECT_BYTES = 1024 * 1024;
/** Objects are flat; deeper nesting is a protocol error. */
const MAX_NESTING = 8;
const MAX_CELLS = 65_535;
/** Three days, as long as idle connections are kept. */
export const MAX_KEEP_SECONDS = 72 * 3_600;
const MAX_USER_LENGTH = 64;

/** Collects the first message, however it is fragmented. */
export class InitReader {
  #bytes: Uint8Array = new Uint8Array(0);

  /** @returns undefined while more is needed; `rest` aliases what came after the message. */
  push(chunk: Uint8Array): { init: TerminalInit; rest: Uint8Array } | { error: string } | undefined {
    // At most 64 KiB are collected here, because anything longer completes the message.
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    if (this.#bytes.length < 2) return undefined;
    const end = 2 + (this.#bytes[0]! | (this.#bytes[1]! << 8));
    if (this.#bytes.length < end) return undefined;
    const init = parseInit(this.#bytes.subarray(2, end));
    return "error" in init ? init : { init, rest: this.#bytes.subarray(end) };
  }
}

/** Splits a stream of concatenated JSON objects into inputs. Never throws; after an error it must not be used again. */
export class InputReader {
  /** Pieces of the incomplete object. */
  #pieces: Uint8Array[] = [];
  #length = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** @param chunk Kept until its last object is complete, so the caller must not reuse it. */
  push(chunk: Uint8Array): { inputs: readonly TerminalInput[]; error?: string } {
    const inputs: TerminalInput[] = [];
    let start = this.#depth > 0 ? 0 : -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
        continue;
      }
      if (this.#depth === 0) {
        if (isSpace(byte)) continue;
        if (byte !== OPEN_BRACE) return { inputs, error: "input that is not a JSON object" };
        start = at;
      }
      if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (++this.#depth > MAX_NESTING) return { inputs, error: "input that is nested too deeply" };
      } else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --this.#depth === 0) {
        if (this.#length + at + 1 - start > MAX_OBJECT_BYTES) return { inputs, error: TOO_LONG };
        this.#pieces.push(chunk.subarray(start, at + 1));
        const input = parseInput(this.#pieces);
        this.#pieces = [];
        this.#length = 0;
        if ("error" in input) return { inputs, error: input.error };
        inputs.push(input);
        start = -1;
      }
    }
    if (this.#depth > 0) {
      this.#length += chunk.length - start;
      if (this.#length > MAX_OBJECT_BYTES) return { inputs, error: TOO_LONG };
      this.#pieces.push(chunk.subarray(start));
    }
    return { inputs };
  }
}

const TOO_LONG = `an input object longer than ${MAX_OBJECT_BYTES} bytes`;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function parseInit(bytes: Uint8Array): TerminalInit | { error: string } {
  const fields = parseObject([bytes]);
  if (fields === undefined) return { error: "the first message is not a JSON object" };
  const id = text(fields, "id")?.toLowerCase();
  const rows = cells(fields, "height");
  const columns = cells(fields, "width");
  const command = text(fields, "command");
  const container = text(fields, "container");
  const backend = text(fields, "backendtype");
  if (id === undefined || !isCanonicalUuid(id)) return { error: "the first message has no UUID in ID" };
  if (rows === undefined || columns === undefined) return { error: "Height or Width is not between 0 and 65535" };
  if (command === undefined || command.includes("\0")) return { error: "Command is not a string" };
  const keepSeconds = numberOf(fields, "keepseconds", Number.MAX_SAFE_INTEGER);
  if (keepSeconds === undefined) return { error: "KeepSeconds is not a non-negative integer" };
  if (container === undefined || backend === undefined) return { error: "Container or BackendType is not a string" };
  const user = text(fields, "user");
  if (user === undefined || user.length > MAX_USER_LENGTH) return { error: "User is not a short string" };
  const userName = text(fields, "username");
  if (userName === undefined || userName.length > MAX_USER_LENGTH) return { error: "UserName is not a short string" };
  const framed = flag(fields, "framed");
  const readOnly = flag(fields, "readonly");
  if (framed === undefined || readOnly === undefined) return { error: "Framed or ReadOnly is not a boolean" };
  const keep = Math.min(keepSeconds, MAX_KEEP_SECONDS);
  return { id, rows, columns, command, container, backend, keepSeconds: keep, user, userName, framed, readOnly };
}

function parseInput(pieces: readonly Uint8Array[]): TerminalInput | { error: string } {
  const fields = parseObject(pieces);
  if (fields === undefined) return { error: "input that is not a JSON object" };
  const data = text(fields, "data");
  const rows = cells(fields, "height");
  const columns = cells(fields, "width");
  if (data === undefined) return { error: "input whose data is not a string" };
  if (rows === undefined || columns === undefined) return { error: "a size that is not between 0 and 65535" };
  const control = fields.has("type") ? terminalControl(Object.fromEntries(fields)) : undefined;
  return { data, rows, columns, control };
}

/** Fields by lower-case name, because other implementations of the protocol ignore case. */
function parseObject(pieces: readonly Uint8Array[]): ReadonlyMap<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.concat(pieces).toString("utf8"));
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return new Map(Object.entries(value).map(([name, field]) => [name.toLowerCase(), field]));
  } catch {
    return undefined; // not JSON: the caller reports what it expected
  }
}

/** Absent and null are the empty string. */
function text(fields: ReadonlyMap<string, unknown>, name: string): string | undefined {
  const value = fields.get(name) ?? "";
  return typeof value === "string" ? value : undefined;
}

function flag(fields: ReadonlyMap<string, unknown>, name: string): boolean | undefined {
  const value = fields.get(name) ?? false;
  return typeof value === "boolean" ? value : undefined;
}

function cells(fields: ReadonlyMap<string, unknown>, name: string): number | undefined {
  return numberOf(fields, name, MAX_CELLS);
}

function numberOf(fields: ReadonlyMap<string, unknown>, name: string, most: number): number | undefined {
  const value = fields.get(name) ?? 0;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > most) return undefined;
  return value;
}
