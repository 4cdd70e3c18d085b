/**
 * One attempt to open a terminal over the worker's tunnel. Translates the agent's terminal protocol into messages for the page.
 */
import { parseTerminalEvent } from "coder-protocol/terminal/events";
import { RecordReader } from "coder-protocol/terminal/records";
import { TERMINAL_PORT } from "coder-protocol/tunnel-ports";
import type { TransportEnd } from "../terminal/transport.ts";
import { type FromTerminal, OUTPUT_CREDIT_BYTES, type TerminalInit } from "./messages.ts";
import { type AgentTunnel, reasonOf } from "./tunnel.ts";

export interface SessionParts {
  readonly tunnel: Pick<AgentTunnel, "ready" | "drop">;
  post(message: FromTerminal, transfer?: readonly ArrayBuffer[]): void;
  /** Whether no later attempt has replaced it. */
  isCurrent(session: Session): boolean;
}

export class Session {
  readonly attempt: number;
  readonly #parts: SessionParts;
  readonly #life = new AbortController();
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #framed = false;
  #untaken = 0;
  #resume: (() => void) | undefined;
  #over = false;
  /** The reason for the end that the agent announced. */
  #announced: TransportEnd | undefined;
  #notice = "";

  constructor(attempt: number, parts: SessionParts) {
    this.attempt = attempt;
    this.#parts = parts;
  }

  async run(agentId: string, init: TerminalInit): Promise<void> {
    const { signal } = this.#life;
    const { tunnel, isCurrent } = this.#parts;
    try {
      const { workspace, framed } = await tunnel.ready(agentId);
      const stream = await workspace.dial(TERMINAL_PORT, { signal });
      signal.addEventListener("abort", () => stream.abort(), { once: true });
      this.#writer = stream.writable.getWriter();
      await this.#writer.write(firstMessage({ ...init, Framed: framed }));
      this.#send({ kind: "opened", attempt: this.attempt });
      this.#framed = framed;
      await this.#read(stream.readable, framed);
      // Without records, the end of the stream is the only sign that the program has ended.
      this.#end(framed ? (this.#announced ?? { kind: "lost", reason: this.#notice }) : { kind: "ended" });
    } catch (error) {
      // The next attempt makes a new tunnel, whatever the cause was; a later attempt may already have one.
      if (isCurrent(this)) tunnel.drop();
      this.#end({ kind: "lost", reason: reasonOf(error) });
    }
  }

  /** A page cannot see whether the tunnel is alive, and expects beats from peers that sent "hello". */
  beat(): void {
    if (this.#framed) this.#send({ kind: "event", attempt: this.attempt, text: '{"type":"beat"}' });
  }

  input(bytes: Uint8Array): void {
    const { length } = bytes;
    void this.#writer
      ?.write(bytes)
      .then(() => this.#send({ kind: "sent", attempt: this.attempt, bytes: length }))
      .catch(() => undefined); // the reader ends with the cause
  }

  taken(bytes: number): void {
    this.#untaken -= bytes;
    if (this.#untaken <= OUTPUT_CREDIT_BYTES) this.#resume?.();
  }

  close(): void {
    this.#over = true;
    this.#life.abort(new Error("the terminal was closed"));
    this.#resume?.();
  }

  async #read(readable: ReadableStream<Uint8Array>, framed: boolean): Promise<void> {
    const records = new RecordReader({
      bytes: (_kind, bytes) => this.#output(bytes),
      event: (json) => this.#event(new TextDecoder().decode(json)),
    });
    const reader = readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#over) return;
      const problem = framed ? records.push(value) : void this.#output(value);
      if (problem !== undefined) throw new Error(problem);
      if (this.#untaken > OUTPUT_CREDIT_BYTES)
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
    }
  }

  #event(text: string): void {
    const event = parseTerminalEvent(text);
    if (event?.type === "exit") this.#announced = { kind: "ended" };
    if (event?.type === "replaced") this.#announced = { kind: "replaced" };
    if (event?.type === "notice") this.#notice = event.text;
    this.#send({ kind: "event", attempt: this.attempt, text });
  }

  #output(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#untaken += bytes.length;
    const copy = Uint8Array.from(bytes).buffer;
    this.#send({ kind: "output", attempt: this.attempt, bytes: copy }, [copy]);
  }

  #end(end: TransportEnd): void {
    this.#send({ kind: "closed", attempt: this.attempt, end });
    this.#over = true;
  }

  #send(message: FromTerminal, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#over) this.#parts.post(message, transfer);
  }
}

function firstMessage(init: TerminalInit): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(init));
  const message = new Uint8Array(2 + json.length);
  new DataView(message.buffer).setUint16(0, json.length, true);
  message.set(json, 2);
  return message;
}
