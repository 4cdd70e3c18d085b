/** An answer that does not end by itself: an event stream, a WebSocket, a terminal. */
export interface OpenStream {
  /** Ends it in good order, and soon. */
  end(): void;
  /** Cuts it off. */
  destroy(): void;
}

/** Everything open that would keep the server from stopping. A stream is added where it begins. */
export class OpenStreams {
  readonly #open = new Set<OpenStream>();
  #closing = false;

  get size(): number {
    return this.#open.size;
  }

  /** No stream may begin any more. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Returns the function to call when the stream is gone. One that comes too late is ended at once. */
  add(stream: OpenStream): () => void {
    this.#open.add(stream);
    if (this.#closing) stream.end();
    return () => this.#open.delete(stream);
  }

  /** Ends all of them, and each that comes later. */
  endAll(): void {
    this.#closing = true;
    for (const stream of [...this.#open]) stream.end();
  }

  destroyAll(): void {
    for (const stream of [...this.#open]) stream.destroy();
  }
}
