/** Keeps a stream of relay keys from the primary open, and passes what arrives to the proxy's set of keys. */
import { Backoff } from "coder-client/base/backoff";
import { openWebSocket } from "coder-client/control/open-web-socket";
import { SilenceAlarm } from "coder-client/control/silence-alarm";
import type { Deployment } from "coder-client/rest/deployment";
import { PROXY_RELAY_KEYS_PATH, relayKeysMessage } from "coder-protocol/rest/workspace-proxies";
import { onAbort, sleep } from "wg-userspace/async/abort";
import type { Instant } from "wg-userspace/base/instant";
import type { WebSocket } from "ws";
import { parsedJson } from "../base/parsed-json.ts";
import { CLOSE_NORMAL, CLOSE_PROTOCOL_ERROR } from "../base/text-sockets.ts";
import { isTokenRefused, publicReasonOf, reasonOf } from "./primary.ts";
import type { KeyChanges, RelayKeys } from "./relay-keys.ts";

export interface RelayKeyStreamOptions {
  readonly deployment: Deployment;
  readonly keys: RelayKeys;
  readonly clock: () => Instant;
  readonly onChanges: (changes: KeyChanges) => void;
  /** The stream ended or could not be opened. It is reopened after a while. */
  readonly onLost: (why: string, tokenRefused: boolean) => void;
}

/** A message contains at most 4,096 keys of 67 characters, so this leaves some room. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
const CLOSE_GRACE_MS = 1_000;

/** Why a stream ended: for the log, and in words that name no host. */
interface Loss {
  readonly why: string;
  readonly shown: string;
}

export class RelayKeyStream {
  readonly #options: RelayKeyStreamOptions;
  readonly #stop = new AbortController();
  readonly #backoff = new Backoff({ firstMs: 500, limitMs: 10_000, factor: 2 });
  #running: Promise<void> | undefined;
  #problem: string | undefined;
  #graceTimer: NodeJS.Timeout | undefined;

  constructor(options: RelayKeyStreamOptions) {
    this.#options = options;
  }

  /** Why there is no stream, in words that name no host. Undefined while there is one, and until the first attempt has failed. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error("the proxy stops"));
    clearTimeout(this.#graceTimer);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let loss: Loss;
      let refused = false;
      try {
        const { deployment } = this.#options;
        const what = "the stream of relay keys";
        const socket = await openWebSocket(deployment, PROXY_RELAY_KEYS_PATH, {
          signal,
          maxPayload: MAX_MESSAGE_BYTES,
          what,
        });
        loss = await this.#follow(socket);
      } catch (error) {
        loss = { why: reasonOf(error), shown: publicReasonOf(error) };
        refused = isTokenRefused(error);
      }
      if (signal.aborted) return;
      this.#problem = loss.shown;
      this.#options.onLost(loss.why, refused);
      await sleep(this.#backoff.next(), signal).catch(() => undefined); // the loop's condition ends it
    }
  }

  /** Resolves with the reason when the stream has ended. */
  #follow(socket: WebSocket): Promise<Loss> {
    const { keys, clock } = this.#options;
    const { signal } = this.#stop;
    const alarm = new SilenceAlarm(clock());
    keys.opened(clock());
    this.#problem = undefined;
    return new Promise((resolve) => {
      let broken: string | undefined;
      let failure: string | undefined;
      let timer: NodeJS.Timeout;
      const judge = (): void => {
        const verdict = alarm.handleTimeout(clock());
        if (verdict === "ask") socket.ping();
        if (verdict === "dead") {
          broken = "the primary is silent";
          socket.terminate();
        } else listen();
      };
      const listen = (): void => {
        clearTimeout(timer);
        timer = setTimeout(judge, Math.max(1, Math.ceil(alarm.nextTimeout() - clock())));
      };
      const heard = (): void => {
        alarm.heard(clock());
        keys.heard(clock());
        listen();
      };
      const stop = (): void => endSocket(socket, CLOSE_NORMAL);
      socket.on("ping", heard);
      socket.on("pong", heard);
      socket.on("message", (data, isBinary) => {
        heard();
        if (broken !== undefined || (!isBinary && this.#take(String(data)))) return;
        broken = "the primary sent a message that is not understood";
        endSocket(socket, CLOSE_PROTOCOL_ERROR);
      });
      socket.on("error", (error) => {
        failure ??= error.message;
      });
      socket.on("close", (code, reason) => {
        clearTimeout(timer);
        stopWatching();
        const shown = broken ?? (failure === undefined ? `the primary closed it (${code})` : "the connection broke");
        const detail = failure ?? reason.toString();
        resolve({ shown, why: detail === "" ? shown : `${shown}: ${detail}` });
      });
      const stopWatching = onAbort(signal, stop);
      listen();
      socket.resume();
    });
  }

  /** Returns false for a message that breaks the protocol. */
  #take(text: string): boolean {
    const { keys, clock, onChanges } = this.#options;
    const message = relayKeysMessage.safeParse(parsedJson(text));
    const changes = message.success ? keys.received(message.data, clock()) : undefined;
    if (changes === undefined) return false;
    if (keys.complete) this.#backoff.reset();
    onChanges(changes);
    this.#armGrace();
    return true;
  }

  /** Grace periods end even while there is no stream. */
  #armGrace(): void {
    const { keys, clock, onChanges } = this.#options;
    clearTimeout(this.#graceTimer);
    const at = keys.nextTimeout();
    if (at === undefined || this.#stop.signal.aborted) return;
    this.#graceTimer = setTimeout(
      () => {
        onChanges(keys.handleTimeout(clock()));
        this.#armGrace();
      },
      Math.max(1, Math.ceil(at - clock())),
    );
    this.#graceTimer.unref();
  }
}

/** Closes properly, or destroys the connection after a short while. */
function endSocket(socket: WebSocket, code: number): void {
  socket.close(code);
  const timer = setTimeout(() => socket.terminate(), CLOSE_GRACE_MS);
  socket.once("close", () => clearTimeout(timer));
}
