/** A terminal of the workspace over its WebSocket: kept open, opened again when it is lost, and never with keys in a queue. */
import { ApiError } from "../api/client.ts";
import { socketUrl } from "../api/socket-url.ts";
import { agentById } from "../api/workspaces.ts";
import { Backoff } from "../base/backoff.ts";
import { pieces } from "./paste.ts";

export type PtyState =
  | { readonly kind: "connecting" }
  | { readonly kind: "open" }
  /** It is tried again at this time; `reason` is one sentence, or empty where the network is the likely cause. */
  | { readonly kind: "waiting"; readonly retryAt: number; readonly reason: string }
  /** The program ended. */
  | { readonly kind: "ended" }
  | { readonly kind: "denied" }
  | { readonly kind: "gone" };

export interface PtyTarget {
  readonly agentId: string;
  /** The same id finds the same program again. */
  readonly id: string;
  /** Run by the login shell; empty for the shell itself. */
  readonly command: string;
  readonly container?: string;
  readonly containerUser?: string;
}

export interface PtyEvents {
  state(state: PtyState): void;
  /** Before the first output of each connection; `again` when output of before is shown again. */
  opened(again: boolean): void;
  output(bytes: Uint8Array): void;
  size(): { readonly cols: number; readonly rows: number };
}

const RESIZE_EVERY_MS = 50;
const HIDDEN_RETRY_MS = 60_000;
const CLOSE_NORMAL = 1000;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_POLICY = 1008;
const CLOSE_INTERNAL = 1011;

export class PtyConnection {
  readonly #target: PtyTarget;
  readonly #events: PtyEvents;
  readonly #life = new AbortController();
  readonly #backoff = new Backoff();
  /** The program may have run before this page: a reload, or a link with an id. */
  #known: boolean;
  #socket: WebSocket | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #resize: ReturnType<typeof setTimeout> | undefined;
  #sentSize = "";

  constructor(target: PtyTarget, events: PtyEvents, known: boolean) {
    this.#target = target;
    this.#events = events;
    this.#known = known;
    const { signal } = this.#life;
    const now = (): void => {
      if (document.visibilityState === "visible") this.retryNow();
    };
    addEventListener("online", now, { signal });
    addEventListener("pageshow", now, { signal });
    document.addEventListener("visibilitychange", now, { signal });
    this.#open();
  }

  /** @returns whether it was sent; while there is no connection nothing is, as it would reach another prompt. */
  send(data: string): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    for (const piece of pieces(data)) this.#socket.send(JSON.stringify({ data: piece }));
    return true;
  }

  /** Tells the program the size, at most every 50 ms and the last one always. */
  resized(): void {
    this.#resize ??= setTimeout(() => {
      this.#resize = undefined;
      this.#sendSize();
    }, RESIZE_EVERY_MS);
  }

  /** Does not wait for the delay under way. */
  retryNow(): void {
    if (this.#retry === undefined) return;
    this.#backoff.reset();
    this.#open();
  }

  close(): void {
    this.#life.abort();
    clearTimeout(this.#retry);
    clearTimeout(this.#resize);
    this.#socket?.close();
  }

  #open(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#events.state({ kind: "connecting" });
    const socket = new WebSocket(socketUrl(this.#path()));
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let openedAt = 0;
    socket.onopen = () => {
      openedAt = performance.now();
      this.#sentSize = "";
      this.#events.opened(this.#known);
      this.#known = true;
      this.#events.state({ kind: "open" });
      this.#sendSize();
    };
    socket.onmessage = ({ data }) => {
      // Text frames are for pages that know more of the protocol.
      if (data instanceof ArrayBuffer && this.#socket === socket) this.#events.output(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#life.signal.aborted || this.#socket !== socket) return;
      this.#socket = undefined;
      void this.#closed(code, reason, openedAt === 0 ? 0 : performance.now() - openedAt);
    };
  }

  #path(): string {
    const { cols, rows } = this.#events.size();
    const query = new URLSearchParams({ reconnect: this.#target.id, width: String(cols), height: String(rows) });
    if (this.#target.command !== "") query.set("command", this.#target.command);
    if (this.#target.container !== undefined) query.set("container", this.#target.container);
    if (this.#target.containerUser !== undefined) query.set("container_user", this.#target.containerUser);
    return `/workspaceagents/${this.#target.agentId}/pty?${query}`;
  }

  async #closed(code: number, reason: string, livedMs: number): Promise<void> {
    if (code === CLOSE_NORMAL) return this.#events.state({ kind: "ended" });
    if (code === CLOSE_POLICY) return this.#events.state({ kind: "denied" });
    if (code === CLOSE_GOING_AWAY) return this.#wait(0, "The server restarts.");
    if (code === CLOSE_INTERNAL)
      return this.#wait(this.#backoff.next(livedMs, Math.random()), reason === "" ? "" : `${sentence(reason)}.`);
    await this.#findCause(livedMs);
  }

  /** A page cannot see why an upgrade was refused or a connection was lost: an ordinary request tells. */
  async #findCause(livedMs: number): Promise<void> {
    let reason = "";
    try {
      const agent = await agentById(this.#target.agentId, this.#life.signal);
      if (agent.status === "disconnected" || agent.status === "timeout") {
        const since = agent.disconnected_at === undefined ? "" : ` since ${clockTime(agent.disconnected_at)}`;
        reason = `The workspace is offline${since}.`;
      }
    } catch (error) {
      if (this.#life.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) return this.#events.state({ kind: "denied" });
      if (error.status === 404) return this.#events.state({ kind: "gone" });
    }
    if (this.#life.signal.aborted) return;
    this.#wait(this.#backoff.next(livedMs, Math.random()), reason);
  }

  #wait(delayMs: number, reason: string): void {
    const delay = document.visibilityState === "hidden" ? Math.max(delayMs, HIDDEN_RETRY_MS) : delayMs;
    this.#events.state({ kind: "waiting", retryAt: performance.now() + delay, reason });
    this.#retry = setTimeout(() => this.#open(), delay);
  }

  #sendSize(): void {
    const { cols, rows } = this.#events.size();
    const size = `${cols} ${rows}`;
    // A hidden tab has no size of its own.
    if (!(cols > 0 && rows > 0) || size === this.#sentSize || document.visibilityState === "hidden") return;
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify({ height: rows, width: cols }));
    this.#sentSize = size;
  }
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1, 120)}`;
}

function clockTime(at: string): string {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
