import { Backoff } from "../../base/backoff.ts";

const CLOSE_POLICY = 1008;
/**
 * Interval of pings. A connection that did not answer one before the next is dead; a page does not see the WebSocket's own pings.
 */
const BEAT_MS = 20_000;
/**
 * Limit of an attempt. A browser waits minutes for a server that accepts the connection and does not answer its request.
 */
const OPENING_MS = 25_000;

export interface ConnectionEvents {
  opened(): void;
  /** Called once after each `opened`. */
  lost(): void;
  /** The login has ended, its rights have changed, or it made too many requests: no attempt is made until `retryLater`. */
  denied(): void;
  message(text: string): void;
}

/** The WebSocket of the stream, reopened whenever it is lost. */
export class StreamConnection {
  readonly #url: string;
  readonly #events: ConnectionEvents;
  readonly #backoff = new Backoff();
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #beat: ReturnType<typeof setInterval> | undefined;
  /** Ends an attempt that is not answered. */
  #opening: ReturnType<typeof setTimeout> | undefined;
  #open = false;
  #openedAt = 0;
  #livedMs = 0;
  #heard = true;
  #stopped = true;
  readonly #online = (): void => this.#retryNow();

  constructor(url: string, events: ConnectionEvents) {
    this.#url = url;
    this.#events = events;
  }

  /** Connects, unless a connection exists or an attempt is scheduled. */
  start(): void {
    if (this.#stopped) addEventListener("online", this.#online);
    this.#stopped = false;
    if (this.#socket === undefined && this.#timer === undefined) this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    removeEventListener("online", this.#online);
    this.#cancelTimer();
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#drop(socket);
    socket.close();
  }

  send(text: string): void {
    this.#socket?.send(text);
  }

  /** Call after `denied` when the login still holds. Waits as after any other loss, because the server may refuse it again. */
  retryLater(): void {
    if (this.#stopped || this.#socket !== undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#connect(), this.#backoff.next(this.#livedMs, Math.random()));
  }

  #retryNow(): void {
    if (this.#socket !== undefined) return;
    this.#backoff.reset();
    this.#connect();
  }

  #connect(): void {
    this.#cancelTimer();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#opening = setTimeout(() => this.#replace(socket), OPENING_MS);
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      clearTimeout(this.#opening);
      this.#openedAt = performance.now();
      this.#open = true;
      this.#heard = true;
      this.#beat = setInterval(() => this.#ask(socket), BEAT_MS);
      this.#events.opened();
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      this.#heard = true;
      if (typeof data === "string") this.#events.message(data);
    };
    socket.onclose = ({ code }) => {
      if (!this.#drop(socket)) return;
      if (code === CLOSE_POLICY) this.#events.denied();
      else this.retryLater();
    };
  }

  #ask(socket: WebSocket): void {
    if (this.#heard) {
      this.#heard = false;
      socket.send('{"op":"ping"}');
      return;
    }
    this.#replace(socket);
  }

  /** A dead connection can take minutes to report its close; its replacement does not wait for that. */
  #replace(socket: WebSocket): void {
    if (this.#drop(socket)) this.retryLater();
    socket.close();
  }

  /** The socket no longer carries the stream. Returns false if it did not before. */
  #drop(socket: WebSocket): boolean {
    if (this.#socket !== socket) return false;
    this.#socket = undefined;
    clearInterval(this.#beat);
    clearTimeout(this.#opening);
    const open = this.#open;
    this.#open = false;
    this.#livedMs = open ? performance.now() - this.#openedAt : 0;
    if (open) this.#events.lost();
    return true;
  }

  #cancelTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
