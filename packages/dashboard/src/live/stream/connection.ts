import { Backoff } from "../../base/backoff.ts";

const CLOSE_POLICY = 1008;
/** A question this often, and no answer until the next one: the connection is dead. A page does not see pings. */
const BEAT_MS = 20_000;

export interface ConnectionEvents {
  opened(): void;
  /** Called once after each `opened`. */
  lost(): void;
  /** The login has ended, or its rights changed: nothing is tried until `retry`. */
  denied(): void;
  message(text: string): void;
}

/** The WebSocket of the stream, opened again whenever it is lost. */
export class StreamConnection {
  readonly #url: string;
  readonly #events: ConnectionEvents;
  readonly #backoff = new Backoff();
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #beat: ReturnType<typeof setInterval> | undefined;
  #open = false;
  #heard = true;
  #stopped = true;

  constructor(url: string, events: ConnectionEvents) {
    this.#url = url;
    this.#events = events;
    addEventListener("online", () => this.retry());
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  send(text: string): void {
    this.#socket?.send(text);
  }

  /** Now, if it is not connected. */
  retry(): void {
    if (this.#stopped || this.#socket !== undefined) return;
    this.#backoff.reset();
    this.#connect();
  }

  #connect(): void {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    let openedAt = 0;
    let denied = false;
    this.#socket = socket;
    socket.onopen = () => {
      openedAt = performance.now();
      this.#open = true;
      this.#heard = true;
      this.#beat = setInterval(() => this.#ask(socket), BEAT_MS);
      this.#events.opened();
    };
    socket.onmessage = ({ data }) => {
      this.#heard = true;
      if (typeof data === "string") this.#events.message(data);
    };
    socket.onclose = ({ code }) => {
      clearInterval(this.#beat);
      this.#socket = undefined;
      denied = code === CLOSE_POLICY;
      if (this.#open) this.#events.lost();
      this.#open = false;
      if (denied) this.#events.denied();
      else if (!this.#stopped) {
        const lived = openedAt === 0 ? 0 : performance.now() - openedAt;
        this.#timer = setTimeout(() => this.retry(), this.#backoff.next(lived, Math.random()));
      }
    };
  }

  #ask(socket: WebSocket): void {
    if (this.#heard) socket.send('{"op":"ping"}');
    else socket.close();
    this.#heard = false;
  }
}
