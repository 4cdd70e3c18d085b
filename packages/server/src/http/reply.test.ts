import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { readBody } from "./reply.ts";

/** A request without a declared length, so far with this body. */
function requestWith(body: string): PassThrough & IncomingMessage {
  const request = Object.assign(new PassThrough(), { headers: {} });
  request.write(body);
  return request as unknown as PassThrough & IncomingMessage;
}

test("a body is read up to its limit", async () => {
  const request = requestWith("12345");
  request.end();
  expect(await readBody(request, 5)).toBe("12345");
  const long = requestWith("123456");
  await expect(readBody(long, 5)).rejects.toMatchObject({ status: 413 });
});

test("a client that leaves in the middle of its request is no error of the server", async () => {
  const request = requestWith("123");
  const read = readBody(request, 5);
  request.destroy(new Error("aborted"));
  await expect(read).rejects.toMatchObject({ status: 400, message: "The request ended early." });
});
