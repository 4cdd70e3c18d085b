import type { ListenAddress } from "../base/listen-address.ts";
import type { Logger } from "../base/log.ts";
import { OpenStreams } from "../base/open-streams.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import { Listeners } from "./listeners.ts";
import { StartupHandler, type StartupState } from "./startup-handler.ts";
import type { Certificates } from "./tls.ts";

interface StartupListenersOptions {
  readonly http: ListenAddress | undefined;
  readonly tls: { readonly address: ListenAddress } | undefined;
  readonly certificates: Certificates | undefined;
  readonly log: Logger;
}

/** Listens at the server's addresses while the server waits for its database. */
export class StartupListeners {
  readonly #options: StartupListenersOptions;
  readonly #handler = new StartupHandler();
  #open: Promise<Listeners | undefined> | undefined;

  constructor(options: StartupListenersOptions) {
    this.#options = options;
  }

  /** Starts to listen at the first call. */
  listen(state: StartupState): void {
    this.#handler.state = state;
    this.#open ??= this.#listen();
  }

  /** Releases the addresses. Safe to call twice. */
  async close(): Promise<void> {
    const listeners = await this.#open;
    this.#open = undefined;
    listeners?.startClosing();
    await listeners?.closed();
  }

  /** Undefined if an address is in use; the server itself will report that when it starts to listen. */
  async #listen(): Promise<Listeners | undefined> {
    const { http, tls, certificates, log } = this.#options;
    const listeners = new Listeners({ door: this.#handler, limits: DEFAULT_LIMITS, streams: new OpenStreams(), log });
    try {
      if (http !== undefined) await listeners.http(http, "http-address");
      if (tls !== undefined && certificates !== undefined) {
        await listeners.https(tls.address, "tls-address", certificates);
      }
      return listeners;
    } catch (error) {
      log.warn({ err: error }, "nothing answers while the server waits for its database");
      listeners.startClosing();
      await listeners.closed();
      return undefined;
    }
  }
}
