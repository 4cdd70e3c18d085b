/**
 * The tunnel of one page: a WireGuard peer of its own, through the relay's WebSocket to the agent's terminal service. Its keys
 * exist in this worker's memory alone and end with it.
 */
import { type BrowserWorkspace, connectAgent } from "coder-client/browser";
import { RecordReader } from "coder-protocol/terminal/records";
import { HTTP_API_PORT, TERMINAL_PORT } from "coder-protocol/tunnel-ports";
import type { TransportEnd } from "../terminal/transport.ts";
import { type FromWorker, OUTPUT_CREDIT_BYTES, type TerminalInit, type ToWorker } from "./messages.ts";

const CONNECT_MS = 15_000;
const ANSWER_MS = 5_000;
const STATUS_EVERY_MS = 10_000;

/** The part of a worker's global scope that is used here. */
interface Scope {
  postMessage(message: FromWorker, transfer?: readonly ArrayBuffer[]): void;
  onmessage: ((event: { readonly data: ToWorker }) => void) | null;
}
const scope = globalThis as unknown as Scope;

interface Tunnel {
  readonly workspace: BrowserWorkspace;
  readonly framed: boolean;
  readonly stopStatus: () => void;
}

let tunnel: Promise<Tunnel> | undefined;
let session: Session | undefined;

scope.onmessage = ({ data }) => {
  if (data.kind === "wake") void tunnel?.then(({ workspace }) => workspace.wake()).catch(() => undefined);
  else if (data.kind === "open") {
    session?.close();
    session = new Session(data.attempt);
    void session.run(data.agentId, data.init);
  } else if (data.attempt === session?.attempt) {
    if (data.kind === "input") session.input(new Uint8Array(data.bytes));
    else if (data.kind === "taken") session.taken(data.bytes);
    else session.close();
  }
};

function connected(agentId: string): Promise<Tunnel> {
  tunnel ??= connect(agentId).catch((error: unknown) => {
    tunnel = undefined;
    const final = (error as { code?: unknown }).code === "ERR_BROWSER_ONLY";
    scope.postMessage({ kind: "tunnel", tunnel: { kind: "failed", reason: sentence(error), final } });
    throw error;
  });
  return tunnel;
}

async function connect(agentId: string): Promise<Tunnel> {
  scope.postMessage({ kind: "tunnel", tunnel: { kind: "connecting" } });
  const url = new URL(location.origin);
  const workspace = await connectAgent({ url, auth: "cookie", agentId, timeoutMs: CONNECT_MS });
  return { workspace, framed: await speaksRecords(workspace), stopStatus: reportStatus(workspace) };
}

/** Agents that know no records answer 404. */
async function speaksRecords(workspace: BrowserWorkspace): Promise<boolean> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const answer = await workspace.fetch(HTTP_API_PORT, "/api/v0/capabilities", { signal });
  if (!answer.ok) return false;
  const body = (await answer.json()) as { terminal_framing?: unknown } | null;
  return body?.terminal_framing === 1;
}

function reportStatus(workspace: BrowserWorkspace): () => void {
  const report = async (): Promise<void> => {
    const latencyMs = await workspace.ping(AbortSignal.timeout(ANSWER_MS)).catch(() => undefined);
    const { own, agent, region } = workspace.ends;
    const keys = { ownKey: hex(own), agentKey: agent === undefined ? "" : hex(agent) };
    scope.postMessage({ kind: "tunnel", tunnel: { kind: "up", region, latencyMs, ...keys } });
    if (latencyMs !== undefined) session?.beat();
  };
  void report();
  const timer = setInterval(() => void report(), STATUS_EVERY_MS);
  return () => clearInterval(timer);
}

/** One terminal over the tunnel. */
class Session {
  readonly attempt: number;
  readonly #life = new AbortController();
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #untaken = 0;
  #resume: (() => void) | undefined;
  #over = false;

  constructor(attempt: number) {
    this.attempt = attempt;
  }

  async run(agentId: string, init: TerminalInit): Promise<void> {
    const { signal } = this.#life;
    try {
      const { workspace, framed } = await connected(agentId);
      const stream = await workspace.dial(TERMINAL_PORT, { signal });
      signal.addEventListener("abort", () => stream.abort(), { once: true });
      this.#writer = stream.writable.getWriter();
      await this.#writer.write(firstMessage({ ...init, Framed: framed }));
      this.#send({ kind: "opened", attempt: this.attempt });
      this.#framed = framed;
      await this.#read(stream.readable, framed);
      this.#end({ kind: "ended" });
    } catch (error) {
      // Whatever broke it, the next attempt makes a tunnel of its own.
      dropTunnel();
      this.#end({ kind: "lost", reason: sentence(error) });
    }
  }

  #framed = false;

  /** A page cannot see whether the tunnel is alive; peers that said hello are expected to say something. */
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
      event: (json) => this.#send({ kind: "event", attempt: this.attempt, text: new TextDecoder().decode(json) }),
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

  #send(message: FromWorker, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#over) scope.postMessage(message, transfer);
  }
}

function dropTunnel(): void {
  const old = tunnel;
  tunnel = undefined;
  void old
    ?.then(({ workspace, stopStatus }) => {
      stopStatus();
      return workspace.close();
    })
    .catch(() => undefined); // it never was, and its failure has been reported
}

function firstMessage(init: TerminalInit): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(init));
  const message = new Uint8Array(2 + json.length);
  new DataView(message.buffer).setUint16(0, json.length, true);
  message.set(json, 2);
  return message;
}

function sentence(error: unknown): string {
  const { message, detail } = error as { message?: unknown; detail?: unknown };
  const text = typeof message === "string" ? message : String(error);
  const more = typeof detail === "string" ? ` (${detail})` : "";
  return `${text}${more}`.slice(0, 300);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
