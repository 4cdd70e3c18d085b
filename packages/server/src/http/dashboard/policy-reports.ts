import type { IncomingMessage, ServerResponse } from "node:http";

const MAX_REPORT_BYTES = 8 * 1024;
/** Reports need no login, so at most one is logged in this time. */
const LOG_EVERY_MS = 1_000;

/** Takes the reports of browsers and logs some of them. */
export class PolicyReports {
  readonly #log: (report: string) => void;
  readonly #now: () => number;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(log: (report: string) => void, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of request) {
      const bytes: Buffer = chunk;
      length += bytes.length;
      if (length > MAX_REPORT_BYTES) {
        response.writeHead(413, { "Content-Length": "0", Connection: "close" }).end();
        return;
      }
      chunks.push(bytes);
    }
    response.writeHead(204).end();
    const now = this.#now();
    if (now < this.#nextAt || length === 0) return;
    this.#nextAt = now + LOG_EVERY_MS;
    this.#log(Buffer.concat(chunks).toString("utf8"));
  }
}
