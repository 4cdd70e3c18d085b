/** Holds the stream for its tabs: in a SharedWorker for all tabs of a browser, or in a tab for itself. */
import type { DashboardMessage } from "coder-protocol/rest/dashboard";
import { StreamConnection } from "./connection.ts";
import type { FromTab } from "./messages.ts";
import { SubscriptionBook, type Tab } from "./subscription-book.ts";

/** A tab reports once a minute that it is alive, also in the background; one that has crashed does not. */
const SILENT_TAB_MS = 180_000;

export class Hub {
  readonly #connection: StreamConnection;
  readonly #book: SubscriptionBook;
  readonly #heard = new Map<Tab, number>();
  #sweep: ReturnType<typeof setInterval> | undefined;

  constructor(url: string) {
    this.#book = new SubscriptionBook((text) => this.#connection.send(text));
    this.#connection = new StreamConnection(url, {
      opened: () => this.#book.opened(),
      lost: () => this.#book.lost(),
      denied: () => this.#book.denied(),
      message: (text) => this.#book.received(JSON.parse(text) as DashboardMessage),
    });
  }

  attach(port: MessagePort): void {
    const tab: Tab = { post: (message) => port.postMessage(message) };
    port.onmessage = ({ data }: MessageEvent<FromTab>) => {
      // A forgotten tab has to open another port.
      if (!this.#heard.has(tab)) return;
      this.#heard.set(tab, performance.now());
      this.#take(tab, data);
    };
    this.#heard.set(tab, performance.now());
    this.#book.enter(tab);
    this.#sweep ??= setInterval(() => this.#forgetSilent(), SILENT_TAB_MS / 3);
    this.#connection.start();
  }

  #take(tab: Tab, message: FromTab): void {
    const { type } = message;
    if (type === "join") this.#book.join(tab, message.key, { topic: message.topic, args: message.args });
    else if (type === "leave") this.#book.leave(tab, message.key);
    else if (type === "retry") this.#connection.retryLater();
    else if (type === "gone") this.#forget(tab);
  }

  #forget(tab: Tab): void {
    this.#heard.delete(tab);
    this.#book.gone(tab);
    if (this.#book.tabs > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
    this.#connection.stop();
  }

  #forgetSilent(): void {
    const now = performance.now();
    for (const [tab, at] of [...this.#heard]) {
      if (now - at <= SILENT_TAB_MS) continue;
      // A frozen tab reads this when it runs again.
      tab.post({ type: "forgotten" });
      this.#forget(tab);
    }
  }
}
