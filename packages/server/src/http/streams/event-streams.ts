import type { ServerResponse } from "node:http";
import { HttpFailure } from "../../base/errors.ts";
import type { PlaceHolder, Places } from "../../base/places.ts";

/** The event streams (text/event-stream) that are open. They never end by themselves: who opens one registers it here. */
export class EventStreams {
  readonly #open = new Set<ServerResponse>();
  readonly #places: Places;
  #closing = false;

  constructor(places: Places) {
    this.#places = places;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Begins the stream. Throws HttpFailure 429 or 503 when there are too many. */
  begin(response: ServerResponse, holder: PlaceHolder): void {
    if (this.#closing) throw new HttpFailure(503, "The server is shutting down", { headers: { "Retry-After": "10" } });
    const leave = this.#places.take(holder);
    this.#open.add(response);
    response.once("close", () => {
      this.#open.delete(response);
      leave();
    });
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
