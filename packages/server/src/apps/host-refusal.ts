/** Recognizes the answer of a development server that refuses the public name in `Host`. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";

const BEGINNING_BYTES = 256;
/** The messages of Vite and of webpack's development server. */
const REFUSALS = /host is not allowed|is not allowed\.|Invalid Host(?:\/Origin)? header/i;

/** Reads the beginning of a 403 answer of type text; the body can still be read in full afterwards. */
export async function isHostRefusal(answer: IncomingMessage): Promise<boolean> {
  if (answer.statusCode !== 403 || answer.headers["content-encoding"] !== undefined) return false;
  if (!/^text\/(?:html|plain)\b/i.test(answer.headers["content-type"] ?? "text/plain")) return false;
  if (answer.readableLength === 0 && !answer.readableEnded && !answer.destroyed)
    await Promise.race([once(answer, "readable"), once(answer, "close")]);
  const beginning: unknown = answer.read();
  if (!(beginning instanceof Buffer)) return false;
  answer.unshift(beginning);
  return REFUSALS.test(beginning.subarray(0, BEGINNING_BYTES).toString("latin1"));
}
