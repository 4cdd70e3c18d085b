/** A connection to a terminal of the workspace: reconnected when it is lost, and never with keys in a queue. */
import type { TerminalControl, TerminalEvent } from "coder-protocol/terminal/events";
import { Backoff } from "../base/backoff.ts";
import { pieces } from "./paste.ts";
import type { OpenTransport, TerminalSize, TerminalTarget, TerminalTransport, TransportEnd } from "./transport.ts";

export type ConnectionState =
  | { readonly kind: "connecting" }
  | { readonly kind: "open" }
  /** The next attempt is at this time; `reason` is one sentence, or empty if the network is the likely cause. */
  | { readonly kind: "waiting"; readonly retryAt: number; readonly reason: string }
  /** The program ended. */
  | { readonly kind: "ended" }
  | { readonly kind: "denied" }
  | { readonly kind: "gone" }
  /** Another viewer asked this one to leave. */
  | { readonly kind: "replaced" }
  /** The page was hidden for a while; connects again when it is shown. */
  | { readonly kind: "resting" };

/** The page around the connection; virtual in tests. */
export interface Surroundings {
  /** In milliseconds. */
  now(): number;
  random(): number;
  /** @returns A function that cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** Whether the user can see the page. */
  visible(): boolean;
  /** Calls back when the page becomes visible or the network returns. */
  onReturn(callback: () => void, life: AbortSignal): void;
  /** Finds out why the workspace cannot be reached. Rejects only when `givenUp` aborts. */
  findCause(agentId: string, givenUp: AbortSignal): Promise<Cause>;
}

export type Cause =
  | { readonly kind: "denied" }
  | { readonly kind: "gone" }
  /** One sentence, or empty. */
  | { readonly kind: "unknown"; readonly reason: string };

export interface ConnectionEvents {
  state(state: ConnectionState): void;
  /** Called before the first output of each connection; `again`: the program may have been shown before. */
  opened(again: boolean): void;
  output(bytes: Uint8Array): void;
  event(event: TerminalEvent): void;
  size(): TerminalSize;
}

const RESIZE_EVERY_MS = 50;
const HIDDEN_RETRY_MS = 60_000;
/** The server sends a beat every 10 s, because a page cannot see the pings of a WebSocket. Also the limit of an attempt. */
const SILENCE_MS = 25_000;
/** An attempt older than this is restarted when the network returns, since it may have been lost without a sign. */
const STALE_ATTEMPT_MS = 2_000;

export class TerminalConnection {
  readonly #target: TerminalTarget;
  readonly #events: ConnectionEvents;
  readonly #openTransport: OpenTransport;
  readonly #around: Surroundings;
  readonly #life = new AbortController();
  readonly #backoff = new Backoff();
  /** The program may have run before this page: after a reload, or by a link with an id. */
  #known: boolean;
  #transport: TerminalTransport | undefined;
  #isOpen = false;
  /** The peer has said hello, so it knows controls and sends beats. */
  #greeted = false;
  /**
   * An earlier peer said hello. The next connection then counts as open only when its peer has too, because the rest of the way
   * to the agent may be broken.
   */
  #greets = false;
  #resting = false;
  /** The program or the permission has ended, so nothing connects again. */
  #over = false;
  #attemptedAt = 0;
  #openedAt: number | undefined;
  #cancelRetry: (() => void) | undefined;
  /** The lookup of the cause of the last end; the next attempt cancels it. */
  #seeking: AbortController | undefined;
  #cancelResize: (() => void) | undefined;
  #cancelSilence: (() => void) | undefined;
  #sentSize = "";

  constructor(
    shown: { readonly target: TerminalTarget; readonly known: boolean },
    parts: { readonly open: OpenTransport; readonly around: Surroundings },
    events: ConnectionEvents,
  ) {
    this.#target = shown.target;
    this.#known = shown.known;
    this.#events = events;
    this.#openTransport = parts.open;
    this.#around = parts.around;
    this.#around.onReturn(() => this.#returned(), this.#life.signal);
    this.#open();
  }

  /** @returns Whether it was sent. Without a connection nothing is kept, because it would reach another prompt. */
  send(data: string): boolean {
    if (!this.#isOpen || this.#target.readOnly) return false;
    for (const piece of pieces(data)) if (this.#transport?.input({ data: piece }) !== true) return false;
    return true;
  }

  /** Does nothing if the peer does not know controls. */
  control(control: TerminalControl): void {
    if (this.#greeted) this.#transport?.control(control);
  }

  /** Sends the size, at most every 50 ms and the last one always. */
  resized(): void {
    this.#cancelResize ??= this.#around.after(RESIZE_EVERY_MS, () => {
      this.#cancelResize = undefined;
      this.#sendSize();
    });
  }

  /** Does not wait for the current delay. */
  retryNow(): void {
    if (this.#cancelRetry === undefined) return;
    this.#backoff.reset();
    this.#open();
  }

  /** Leaves the program running and disconnects, until {@link wake}. */
  rest(): void {
    if (this.#resting || this.#over || this.#life.signal.aborted) return;
    this.#resting = true;
    this.#drop();
    this.#events.state({ kind: "resting" });
  }

  /** Also takes the terminal back after another viewer asked this one to leave. */
  wake(): void {
    if (!this.#resting || this.#life.signal.aborted) return;
    this.#resting = false;
    this.#open();
  }

  close(): void {
    this.#life.abort();
    this.#drop();
  }

  #returned(): void {
    if (!this.#around.visible()) return;
    this.retryNow();
    const trying = this.#transport !== undefined && !this.#isOpen;
    if (!trying || this.#around.now() - this.#attemptedAt < STALE_ATTEMPT_MS) return;
    this.#open();
  }

  #drop(): void {
    this.#endWait();
    this.#cancelResize?.();
    this.#cancelResize = undefined;
    this.#forget();
  }

  #endWait(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#seeking?.abort();
    this.#seeking = undefined;
  }

  /** Forgets the current transport. */
  #forget(): void {
    this.#cancelSilence?.();
    this.#cancelSilence = undefined;
    this.#isOpen = false;
    this.#greeted = false;
    this.#transport?.close();
    this.#transport = undefined;
  }

  #open(): void {
    this.#forget();
    this.#endWait();
    this.#attemptedAt = this.#around.now();
    this.#openedAt = undefined;
    this.#events.state({ kind: "connecting" });
    this.#limitSilence();
    const transport: TerminalTransport = this.#openTransport(this.#target, this.#events.size(), {
      opened: () => {
        if (!this.#greets) this.#ready();
      },
      output: (bytes) => {
        this.#ready();
        if (this.#greeted) this.#limitSilence();
        this.#events.output(bytes);
      },
      event: (event) => {
        if (event.type === "hello") {
          this.#greeted = true;
          this.#greets = true;
          this.#ready();
        }
        this.#limitSilence();
        this.#events.event(event);
      },
      closed: (end) => {
        const lived = this.#livedMs();
        this.#forget();
        this.#closed(end, lived);
      },
    });
    this.#transport = transport;
  }

  /** From now on keys reach the program. */
  #ready(): void {
    if (this.#isOpen) return;
    this.#openedAt = this.#around.now();
    this.#isOpen = true;
    this.#sentSize = "";
    // Only peers that say hello send beats, so silence of any other means nothing.
    this.#cancelSilence?.();
    this.#events.opened(this.#known);
    this.#known = true;
    this.#events.state({ kind: "open" });
    this.#sendSize();
  }

  #limitSilence(): void {
    this.#cancelSilence?.();
    this.#cancelSilence = this.#around.after(SILENCE_MS, () => {
      const lived = this.#livedMs();
      this.#forget();
      this.#wait(this.#backoff.next(lived, this.#around.random()), "");
    });
  }

  #livedMs(): number {
    return this.#openedAt === undefined ? 0 : this.#around.now() - this.#openedAt;
  }

  #closed(end: TransportEnd, livedMs: number): void {
    switch (end.kind) {
      case "ended":
      case "denied":
        this.#over = true;
        this.#events.state(end);
        break;
      case "replaced":
        this.#resting = true;
        this.#events.state(end);
        break;
      case "restarting":
        this.#wait(0, "The server restarts.");
        break;
      case "too-long":
        this.#wait(0, "Your last input was too long and was dropped.");
        break;
      case "lost": {
        const delay = this.#backoff.next(livedMs, this.#around.random());
        this.#wait(delay, end.reason === "" ? "" : `${sentence(end.reason)}.`);
        break;
      }
      case "unknown": {
        const retryAt = this.#wait(this.#backoff.next(livedMs, this.#around.random()), "");
        void this.#findCause(retryAt);
        break;
      }
    }
  }

  /** Runs while the retry waits, which needs no cause: the deployment may not answer. */
  async #findCause(retryAt: number): Promise<void> {
    this.#seeking = new AbortController();
    const { signal } = this.#seeking;
    const cause = await this.#around.findCause(this.#target.agentId, signal).catch((error: unknown): undefined => {
      if (!signal.aborted) throw error;
    });
    if (cause === undefined || signal.aborted) return;
    if (cause.kind === "unknown") {
      if (cause.reason !== "") this.#events.state({ kind: "waiting", retryAt, reason: cause.reason });
      return;
    }
    this.#over = true;
    this.#drop();
    this.#events.state(cause);
  }

  /** @returns The time of the next attempt. */
  #wait(delayMs: number, reason: string): number {
    const delay = this.#around.visible() ? delayMs : Math.max(delayMs, HIDDEN_RETRY_MS);
    const retryAt = this.#around.now() + delay;
    this.#events.state({ kind: "waiting", retryAt, reason });
    this.#cancelRetry = this.#around.after(delay, () => this.#open());
    return retryAt;
  }

  #sendSize(): void {
    const { cols, rows } = this.#events.size();
    const size = `${cols} ${rows}`;
    // A hidden tab has no size of its own.
    if (!(cols > 0 && rows > 0) || size === this.#sentSize || !this.#around.visible()) return;
    if (!this.#isOpen || this.#target.readOnly) return;
    if (this.#transport?.input({ height: rows, width: cols }) === true) this.#sentSize = size;
  }
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1, 120)}`;
}
