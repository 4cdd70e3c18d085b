/** Parser of text/event-stream (WHATWG HTML §9.2.6): bytes in, events out. Ids and retry times are ignored. */
export interface StreamEvent {
  /** `message` unless the event names its type. */
  readonly type: string;
  readonly data: string;
}

/** A workspace with its resources is the longest event. */
const MAX_EVENT_CHARS = 8 * 1024 * 1024;

export class EventStreamParser {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #type = "";
  #data: string[] = [];
  #length = 0;

  /** Returns the events that are complete now. Throws when one is too long. */
  feed(bytes: Uint8Array): StreamEvent[] {
    const events: StreamEvent[] = [];
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    // A carriage return at the end may be the first half of a line end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    if (this.#rest.length > MAX_EVENT_CHARS) throw new Error("an event of the stream is too long");
    for (const line of lines) {
      const event = this.#line(line);
      if (event !== undefined) events.push(event);
    }
    return events;
  }

  #line(line: string): StreamEvent | undefined {
    if (line === "") {
      const event = { type: this.#type === "" ? "message" : this.#type, data: this.#data.join("\n") };
      const empty = this.#type === "" && this.#data.length === 0;
      this.#type = "";
      this.#data = [];
      this.#length = 0;
      return empty ? undefined : event;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "event") this.#type = value;
    if (field !== "data") return undefined;
    this.#length += value.length;
    if (this.#length > MAX_EVENT_CHARS) throw new Error("an event of the stream is too long");
    this.#data.push(value);
    return undefined;
  }
}
