/** Credentials of the subscribers of a feed. The data are read with those of one subscriber, until that one leaves. */
export class SubscriberCredentials<Credentials> {
  readonly #entries = new Set<{ readonly credentials: Credentials }>();

  /** Returns the function to call when this subscriber leaves. */
  add(credentials: Credentials): () => void {
    const entry = { credentials };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /** Of the subscriber that has been there longest; undefined without subscribers. */
  get first(): Credentials | undefined {
    const [entry] = this.#entries;
    return entry?.credentials;
  }
}
