/** An answer that does not end on its own: an event stream, a WebSocket, a terminal. */
export interface OpenStream {
  /** Ends the stream properly, and soon. */
  end(): void;
  /** Destroys the connection. */
  destroy(): void;
}

/** All open streams, which would keep the server from stopping. Each stream is added where it begins. */
export class OpenStreams {
  readonly #open = new Set<OpenStream>();
  #closing = false;

  get size(): number {
    return this.#open.size;
  }

  /** Whether no further stream may begin. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Returns a function to call when the stream is gone. A stream that is added too late is ended at once. */
  add(stream: OpenStream): () => void {
    this.#open.add(stream);
    if (this.#closing) stream.end();
    return () => this.#open.delete(stream);
  }

  /** Ends all streams, including any that is added later. */
  endAll(): void {
    this.#closing = true;
    for (const stream of [...this.#open]) stream.end();
  }

  destroyAll(): void {
    for (const stream of [...this.#open]) stream.destroy();
  }
}
