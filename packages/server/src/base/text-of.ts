import type { Readable } from "node:stream";

export class BodyTooLong extends Error {}

/** Reads the body of an answer to its end as UTF-8 text. Rejects with {@link BodyTooLong} once it is longer than `maxBytes`. */
export async function textOf(response: Readable, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw new BodyTooLong(`it sent more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
