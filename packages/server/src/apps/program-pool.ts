/** Connections to the programs of workspaces. They are kept for the next request and never shared between two programs. */

import { Agent, type AgentOptions, type ClientRequest, type RequestOptions } from "node:http";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { once } from "wg-userspace/async/abort";
import type { AppDecision, AppTarget } from "./decision.ts";

const MAX_IDLE = 6;
const IDLE_MS = 60_000;
const CONNECT_MS = 10_000;
/** Above this number, pools without a connection are removed. */
const MAX_POOLS = 1_000;

/** Opens a connection to the program that a decision is about. */
export type DialApp = (decision: AppDecision, signal: AbortSignal) => Promise<Duplex>;

export interface ProgramRequestOptions extends RequestOptions {
  readonly decision: AppDecision;
}

export class ProgramPools {
  readonly #dial: DialApp;
  readonly #pools = new Map<string, ProgramPool>();

  constructor(dial: DialApp) {
    this.#dial = dial;
  }

  /** The pool for the program of a decision. */
  of({ target }: AppDecision): Agent {
    const key = keyOf(target);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      if (this.#pools.size >= MAX_POOLS)
        for (const [other, { isUnused }] of this.#pools) if (isUnused) this.#pools.delete(other);
      pool = new ProgramPool(this.#dial);
      this.#pools.set(key, pool);
    }
    return pool;
  }

  /** Ends the connections that are kept for later requests: a program that closed one has probably ended, and all with it. */
  endKept({ target }: AppDecision): void {
    for (const kept of Object.values(this.#pools.get(keyOf(target))?.freeSockets ?? {}))
      for (const stream of kept ?? []) stream.destroy();
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.destroy();
    this.#pools.clear();
  }
}

function keyOf({ agentId, port, secure }: AppTarget): string {
  return `${agentId} ${port} ${secure ? "https" : "http"}`;
}

/** Opens one connection to the program of a decision, with TLS if the target asks for it. Rejects after ten seconds. */
export async function connectProgram(dial: DialApp, decision: AppDecision): Promise<Duplex> {
  const signal = AbortSignal.timeout(CONNECT_MS);
  const stream = await dial(decision, signal);
  if (!decision.target.secure) return stream;
  // Programs in workspaces use self-signed certificates; the tunnel has already authenticated the workspace.
  const secure = connectTls({
    socket: stream,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    ALPNProtocols: ["http/1.1"],
  });
  secure.once("close", () => stream.destroy());
  try {
    await once(secure, "secureConnect", signal);
    return secure;
  } catch (error) {
    secure.on("error", () => undefined); // ended here, and reported already
    stream.destroy();
    throw error;
  }
}

class ProgramPool extends Agent {
  readonly #dial: DialApp;
  readonly #idle = new Map<Duplex, { timer: NodeJS.Timeout; end: () => void; onClose: () => void }>();

  constructor(dial: DialApp) {
    // No limit of its own: the places of a workspace limit its requests. With one, event streams of some visitors would hold up
    // all others, and Node forgets requests that wait for a connection when the next one cannot be opened.
    super({ keepAlive: true, maxFreeSockets: MAX_IDLE } satisfies AgentOptions);
    this.#dial = dial;
    // Runs before Node's own listener, which gives the connection to a waiting request or keeps it.
    this.prependListener("free", (stream: Duplex) => {
      if (stream.readableEnded) stream.destroy();
    });
  }

  get isUnused(): boolean {
    return [this.sockets, this.freeSockets, this.requests].every((held) => Object.keys(held).length === 0);
  }

  override createConnection(options: unknown, created: (error: Error | null, stream: Duplex) => void): undefined {
    connectProgram(this.#dial, (options as ProgramRequestOptions).decision).then(
      (stream) => created(null, asSocket(stream)),
      (error: unknown) => created(error instanceof Error ? error : new Error(String(error)), undefined as never),
    );
    return undefined;
  }

  /**
   * Bytes that arrive between two answers belong to neither, so the connection is not reused. A connection that the program ended
   * is not reused either: a stream of the tunnel stays writable, but what is written to it may never be answered.
   */
  override keepSocketAlive(stream: Duplex): boolean {
    if (stream.readableEnded || stream.destroyed) return false;
    const end = (): void => void stream.destroy();
    const onClose = (): void => this.#awake(stream);
    const timer = setTimeout(end, IDLE_MS);
    timer.unref();
    stream.on("data", end);
    stream.once("end", end);
    stream.once("close", onClose);
    stream.resume(); // the end of a stream is noticed only by reading
    this.#idle.set(stream, { timer, end, onClose });
    return true;
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    this.#awake(stream);
    super.reuseSocket(stream, request);
  }

  #awake(stream: Duplex): void {
    const idle = this.#idle.get(stream);
    if (idle === undefined) return;
    clearTimeout(idle.timer);
    stream.removeListener("data", idle.end);
    stream.removeListener("end", idle.end);
    stream.removeListener("close", idle.onClose);
    this.#idle.delete(stream);
  }
}

/**
 * Node's Agent calls `ref` on a connection that it reuses. A stream of the tunnel never keeps the process alive and has no such
 * method.
 */
function asSocket(stream: Duplex): Duplex {
  return "ref" in stream ? stream : Object.assign(stream, { ref: () => stream });
}
