import type { ServerResponse } from "node:http";
import { HttpFailure } from "../errors.ts";

/** The event streams (text/event-stream) that are open. They never end by themselves: who opens one registers it here. */
export class EventStreams {
  readonly #open = new Set<ServerResponse>();
  readonly #limit: number;
  #closing = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Begins the stream. Throws HttpFailure 503 when there are too many. */
  begin(response: ServerResponse): void {
    if (this.#closing || this.#open.size >= this.#limit) {
      throw new HttpFailure(503, "Too many open event streams", { headers: { "Retry-After": "10" } });
    }
    this.#open.add(response);
    response.once("close", () => this.#open.delete(response));
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-cache",
      Connection: "keep-alive",
      "X-Accel-Buffering": "no",
    });
  }

  /** Ends all of them; none begins any more. */
  closeAll(): void {
    this.#closing = true;
    for (const response of this.#open) response.end();
  }
}
