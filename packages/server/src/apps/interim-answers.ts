/** A program's interim answers (RFC 9110 §15.2). Early hints are forwarded (RFC 8297); all others concern only the next hop. */
import type { IncomingMessage, InformationEvent, ServerResponse } from "node:http";

/** A program sends a few. One that sends more is broken or keeps the client waiting on purpose. */
const MAX_INTERIM = 32;

export class InterimAnswers {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #count = 0;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  /** Returns false once there were too many. */
  pass({ statusCode, headers }: Pick<InformationEvent, "statusCode" | "headers">): boolean {
    if (++this.#count > MAX_INTERIM) return false;
    // An HTTP/1.0 client would take the first status line for the final answer.
    if (statusCode !== 103 || this.#request.httpVersion !== "1.1" || this.#response.headersSent) return true;
    const { link } = headers;
    if (typeof link === "string" && LINKS.test(link)) this.#response.writeEarlyHints({ link: split(link) });
    return true;
  }
}

/** The links that Node accepts: `<target>; parameter; parameter="value"`, separated by commas. Other hints are dropped. */
const LINK = /<[^<>"\s,;]*>(?:[ \t]*;[ \t]*[a-zA-Z0-9-]+(?:=(?:"[^"<>\s;]*"|[^"<>\s,;]+))?)*/;
const LINKS = new RegExp(`^${LINK.source}(?:[ \\t]*,[ \\t]*${LINK.source})*$`);

function split(links: string): string[] {
  return links.match(new RegExp(LINK.source, "g")) ?? [];
}
