import type { ServerResponse } from "node:http";
import { shuttingDown } from "../../base/domain-error.ts";
import type { OpenStreams } from "../../base/open-streams.ts";
import type { PlaceHolder, Places } from "../../base/places.ts";

/** The open event streams (text/event-stream). */
export class EventStreams {
  readonly #places: Places;
  readonly #streams: OpenStreams;

  constructor(options: { readonly places: Places; readonly streams: OpenStreams }) {
    this.#places = options.places;
    this.#streams = options.streams;
  }

  get openCount(): number {
    return this.#places.taken;
  }

  /**
   * Begins the stream. Returns false if the client has left. Throws DomainError if there are too many or the server is closing.
   */
  begin(response: ServerResponse, holder: PlaceHolder): boolean {
    if (response.destroyed) return false;
    if (this.#streams.closing) throw shuttingDown();
    const leavePlace = this.#places.take(holder);
    const leaveStreams = this.#streams.add({ end: () => response.end(), destroy: () => response.destroy() });
    response.once("close", () => {
      leaveStreams();
      leavePlace();
    });
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-cache",
      Connection: "keep-alive",
      "X-Accel-Buffering": "no",
    });
    return true;
  }
}
