import type { IncomingMessage } from "node:http";

/** Whether the client waits for 100 Continue before it sends the body (RFC 9110 §10.1.1). */
export function expectsContinue({ headers, httpVersion }: IncomingMessage): boolean {
  return httpVersion !== "1.0" && headers.expect?.toLowerCase() === "100-continue";
}
