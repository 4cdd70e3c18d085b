/** The live memory of a Node process after a full collection, read over its inspector. */

import type { HeapSpaceInfo } from "node:v8";

/** Bytes, all of them right after a full collection. */
export interface LiveMemory {
  /**
   * Objects of the JavaScript heap and the buffers that they own. Compiled code is not included: it grows for as long as further
   * functions turn out to be used often.
   */
  readonly live: number;
  /** The whole process as the operating system sees it: native leaks show only here. */
  readonly resident: number;
}

const ANSWER_WITHIN_MS = 60_000;
const EXPRESSION = `JSON.stringify({
  spaces: process.getBuiltinModule("node:v8").getHeapSpaceStatistics(),
  ...process.memoryUsage(),
})`;
/** Heap spaces of code, and of what belongs to it. */
const CODE_SPACE = /^(shared_)?(code|trusted)_/;

interface Answer {
  readonly id: number;
  readonly error?: { readonly message: string };
  readonly result?: { readonly result?: { readonly value?: unknown } };
}

export class MemoryProbe implements Disposable {
  readonly #socket: WebSocket;
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** @param url As `node --inspect` prints it. */
  static async open(url: string): Promise<MemoryProbe> {
    const socket = new WebSocket(url);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error(`no inspector answers at ${url}`)), { once: true });
    });
    return new MemoryProbe(socket);
  }

  async measure(): Promise<LiveMemory> {
    await this.#call("HeapProfiler.collectGarbage");
    const answer = await this.#call("Runtime.evaluate", { expression: EXPRESSION, returnByValue: true });
    const { spaces, external, rss } = JSON.parse(String(answer.result?.result?.value)) as NodeJS.MemoryUsage & {
      readonly spaces: readonly HeapSpaceInfo[];
    };
    const objects = spaces.filter(({ space_name }) => !CODE_SPACE.test(space_name));
    return { live: objects.reduce((sum, space) => sum + space.space_used_size, external), resident: rss };
  }

  #call(method: string, params: object = {}): Promise<Answer> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const hear = (event: MessageEvent): void => {
      const answer = JSON.parse(String(event.data)) as Answer;
      if (answer.id !== id) return;
      if (answer.error === undefined) resolve(answer);
      else reject(new Error(`${method}: ${answer.error.message}`));
    };
    const lose = (): void => reject(new Error(`${method}: the process is gone`));
    const timer = setTimeout(() => reject(new Error(`${method}: no answer within a minute`)), ANSWER_WITHIN_MS);
    this.#socket.addEventListener("message", hear);
    this.#socket.addEventListener("close", lose);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return promise.finally(() => {
      clearTimeout(timer);
      this.#socket.removeEventListener("message", hear);
      this.#socket.removeEventListener("close", lose);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
