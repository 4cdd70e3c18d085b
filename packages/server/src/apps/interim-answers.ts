/** Interim answers of a program (RFC 9110 §15.2). Early hints are passed on (RFC 8297); all others concern the next hop only. */
import type { IncomingMessage, InformationEvent, ServerResponse } from "node:http";

/** A program sends a few; one that sends more is broken, or keeps the client waiting on purpose. */
const MAX_INTERIM = 32;

export class InterimAnswers {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #count = 0;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  /** False when there were too many. */
  pass({ statusCode, headers }: Pick<InformationEvent, "statusCode" | "headers">): boolean {
    if (++this.#count > MAX_INTERIM) return false;
    // A client of HTTP/1.0 takes the first status line for the answer.
    if (statusCode !== 103 || this.#request.httpVersion !== "1.1" || this.#response.headersSent) return true;
    const { link } = headers;
    if (typeof link === "string" && LINKS.test(link)) this.#response.writeEarlyHints({ link: split(link) });
    return true;
  }
}

/** What Node accepts as links: `<target>; parameter; parameter="value"`, separated by commas. Any other hint is dropped. */
const LINK = /<[^<>"\s,;]*>(?:[ \t]*;[ \t]*[a-zA-Z0-9-]+(?:=(?:"[^"<>\s;]*"|[^"<>\s,;]+))?)*/;
const LINKS = new RegExp(`^${LINK.source}(?:[ \\t]*,[ \\t]*${LINK.source})*$`);

function split(links: string): string[] {
  return links.match(new RegExp(LINK.source, "g")) ?? [];
}
