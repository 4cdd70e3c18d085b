/**
 * Joins a page's WebSocket with the agent's stream of a terminal (port 2 of its tunnel). Input is passed to the agent unchanged.
 * Output arrives raw or, from an agent that supports it, in records. To a page that supports control frames, everything but
 * output is sent as text frames. When either side ends, so does the other.
 */
import type { Duplex } from "node:stream";
import {
  OUTPUT_RESUME_BYTES,
  OUTPUT_WINDOW_BYTES,
  parseTerminalEvent,
  type TerminalEvent,
  terminalControl,
} from "coder-protocol/terminal/events";
import { RecordReader } from "coder-protocol/terminal/records";
import type { RawData, WebSocket } from "ws";
import { CLOSE_NORMAL } from "../../base/text-sockets.ts";
import type { PtyQuery } from "./pty-query.ts";

/** RFC 6455 §7.4.1: an internal error. */
export const CLOSE_INTERNAL_ERROR = 1011;
/** Another viewer replaced this one. */
const CLOSE_REPLACED = 4000;
const BEAT_EVERY_MS = 10_000;
/** Maximum length of a control frame; a longer text is not one. */
const MAX_CONTROL_BYTES = 4_096;
/** RFC 6455 §5.5: a close frame holds 125 bytes, two of which are the code. */
const MAX_REASON_BYTES = 123;

/** The first message of the agent's protocol, with the protocol's field names. */
interface Init {
  readonly ID: string;
  readonly Height: number;
  readonly Width: number;
  readonly Command: string;
  readonly Container: string;
  readonly ContainerUser: string;
  readonly BackendType: string;
  /** Extensions, which other agents ignore. A terminal that one user opened is refused to others. */
  readonly User: string;
  readonly UserName: string;
  readonly KeepSeconds: number;
  readonly Framed: boolean;
  readonly ReadOnly: boolean;
}

export interface BridgeOptions {
  readonly query: PtyQuery;
  readonly user: { readonly id: string; readonly username: string };
  /** The agent sends records. */
  readonly framed: boolean;
  /** Whether this server has not seen the terminal before; reported to the page if the agent does not report it. */
  readonly fresh: boolean;
  /** The agent sent data that are not records. */
  readonly onMisframed: (problem: string) => void;
}

export class TerminalBridge {
  readonly #webSocket: WebSocket;
  readonly #stream: Duplex;
  readonly #options: BridgeOptions;
  readonly #records: RecordReader | undefined;
  #beat: NodeJS.Timeout | undefined;
  #sent = 0;
  #acknowledged = 0;
  #windowFull = false;
  /** The code and reason with which the page is closed; undefined if the agent has announced no end. */
  #end: { readonly code: number; readonly reason: string } | undefined;
  #notice = "";

  constructor(webSocket: WebSocket, stream: Duplex, options: BridgeOptions) {
    this.#webSocket = webSocket;
    this.#stream = stream;
    this.#options = options;
    if (options.framed) {
      this.#records = new RecordReader({
        bytes: (_kind, bytes) => this.#output(bytes),
        event: (json) => this.#event(Buffer.from(json).toString("utf8")),
      });
    }
    stream.on("data", (chunk: Uint8Array) => this.#received(chunk));
    stream.on("drain", () => {
      webSocket.resume();
      this.#pace();
    });
    stream.on("end", () => this.#ended());
    stream.on("error", () => undefined); // "close" follows
    stream.on("close", () => {
      clearInterval(this.#beat); // the page may have left before the bridge existed, in which case its "close" never comes
      this.#close(CLOSE_INTERNAL_ERROR, "the connection to the workspace ended");
    });
    webSocket.on("message", (message, isBinary) => this.#message(asBuffer(message), isBinary));
    webSocket.on("close", () => {
      clearInterval(this.#beat);
      stream.destroy();
    });
    this.#begin();
  }

  /** Sends an event, unless the page does not support control frames. */
  tell(event: TerminalEvent): void {
    if (!this.#options.query.control || this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    this.#webSocket.send(JSON.stringify(event), () => this.#pace());
    this.#pace();
  }

  /**
   * Answers a control of the page. The answer is dropped if much is waiting for the page, since a page may send controls without
   * reading.
   */
  #answer(text: string): void {
    if (this.#webSocket.bufferedAmount <= OUTPUT_WINDOW_BYTES) this.tell({ type: "notice", text });
  }

  #begin(): void {
    const { query, fresh, framed } = this.#options;
    // The page or its right ended meanwhile: the first message would start the program.
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) {
      this.#stream.destroy();
      return;
    }
    const json = Buffer.from(JSON.stringify(firstMessage(this.#options)));
    const head = Buffer.alloc(2);
    head.writeUInt16LE(json.length);
    this.#stream.write(Buffer.concat([head, json])); // In one write, because the agent expects them in one read.
    if (query.control) this.#beat = setInterval(() => this.tell({ type: "beat" }), BEAT_EVERY_MS).unref();
    if (!framed) {
      this.tell({
        type: "hello",
        terminal: { id: query.id, started_at: "", command: query.command, fresh },
        viewer: 1,
        size: { cols: query.columns, rows: query.rows },
        framed: false,
      });
    }
  }

  #received(chunk: Uint8Array): void {
    if (this.#records === undefined) {
      this.#output(chunk);
      return;
    }
    const problem = this.#records.push(chunk);
    if (problem === undefined) return;
    this.#options.onMisframed(problem);
    this.#close(CLOSE_INTERNAL_ERROR, "the agent answered unexpectedly");
    this.#stream.destroy();
  }

  #output(bytes: Uint8Array): void {
    this.#sent += bytes.length;
    if (this.#options.query.control && this.#sent - this.#acknowledged > OUTPUT_WINDOW_BYTES) this.#windowFull = true;
    this.#webSocket.send(bytes, { binary: true }, () => this.#pace());
    this.#pace();
  }

  /**
   * Reads from the agent as fast as the page takes the output. A full window does not count while the page's input waits for the
   * agent: acknowledgements wait behind that input, and the agent may accept it only once it has been able to send.
   */
  #pace(): void {
    const { bufferedAmount, isPaused: inputWaits } = this.#webSocket;
    if ((this.#windowFull && !inputWaits) || bufferedAmount > OUTPUT_WINDOW_BYTES) this.#stream.pause();
    else if (bufferedAmount < OUTPUT_RESUME_BYTES) this.#stream.resume();
  }

  /** Passes on only events of this version. */
  #event(json: string): void {
    const event = parseTerminalEvent(json);
    if (event === undefined) return;
    if (event.type === "exit") this.#end = { code: CLOSE_NORMAL, reason: "" };
    if (event.type === "replaced") this.#end = { code: CLOSE_REPLACED, reason: "replaced" };
    if (event.type === "notice") this.#notice = event.text;
    this.tell(event);
  }

  #ended(): void {
    if (!this.#options.framed) this.#close(CLOSE_NORMAL, "");
    else if (this.#end !== undefined) this.#close(this.#end.code, this.#end.reason);
    else this.#close(CLOSE_INTERNAL_ERROR, this.#notice === "" ? "the workspace ended the connection" : this.#notice);
  }

  #close(code: number, reason: string): void {
    this.#webSocket.close(code, shortened(reason));
  }

  #message(message: Buffer, isBinary: boolean): void {
    // A page that does not answer the close frame may go on sending.
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    const { control, readOnly } = this.#options.query;
    if (control && !isBinary && this.#control(message)) return;
    if (!readOnly) this.#toAgent(message);
  }

  #toAgent(message: Buffer | string): void {
    if (!this.#stream.writable || this.#stream.write(message)) return;
    this.#webSocket.pause();
    this.#pace();
  }

  /** @returns whether the message is a control; other text is input. */
  #control(message: Buffer): boolean {
    const value = message.length > MAX_CONTROL_BYTES ? undefined : parseObject(message);
    if (value === undefined || !("type" in value)) return false;
    const control = terminalControl(value);
    if (control === undefined) return true; // a control of a later version
    if (control.type === "ack") {
      this.#acknowledged = Math.min(this.#sent, Math.max(this.#acknowledged, control.bytes));
      if (this.#sent - this.#acknowledged < OUTPUT_RESUME_BYTES) this.#windowFull = false;
      this.#pace();
    }
    if (this.#options.framed) this.#toAgent(JSON.stringify(control));
    else if (control.type === "close" && control.kill) this.#answer("This agent cannot end programs: type exit.");
    return true;
  }
}

function firstMessage({ query, user, framed }: BridgeOptions): Init {
  return {
    ID: query.id,
    // A read-only viewer has no size of its own.
    Height: query.readOnly ? 0 : query.rows,
    Width: query.readOnly ? 0 : query.columns,
    Command: query.command,
    Container: query.container,
    ContainerUser: query.containerUser,
    BackendType: query.backend,
    User: user.id,
    UserName: user.username,
    KeepSeconds: query.keepSeconds,
    Framed: framed,
    ReadOnly: query.readOnly,
  };
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not JSON: the agent will report what is wrong
  }
}

function asBuffer(message: RawData): Buffer {
  if (Array.isArray(message)) return Buffer.concat(message);
  return Buffer.isBuffer(message) ? message : Buffer.from(message);
}

/** As many whole characters as fit a close frame. */
export function shortened(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
}
