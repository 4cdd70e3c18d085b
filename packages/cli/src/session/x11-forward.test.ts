import fc from "fast-check";
import { expect, test } from "vitest";
import { parseDisplay, replaceCookie } from "./x11-forward.ts";

test.each([
  [":0", { path: "/tmp/.X11-unix/X0" }, 0],
  [":1.2", { path: "/tmp/.X11-unix/X1" }, 2],
  ["unix:0.0", { path: "/tmp/.X11-unix/X0" }, 0],
  ["localhost:10.0", { host: "localhost", port: 6010 }, 0],
  ["[::1]:3", { host: "::1", port: 6003 }, 0],
  ["/private/tmp/launch-x/org.xquartz:0", { path: "/private/tmp/launch-x/org.xquartz:0" }, 0],
])("%s is a display", (text, address, screen) => {
  expect(parseDisplay(text)).toEqual({ address, screen });
});

test.each(["", "0", ":", ":x", "host", ":0.x", ":99999"])("%j is none", (text) => {
  expect(parseDisplay(text)).toBeUndefined();
});

const NAME = "MIT-MAGIC-COOKIE-1";

/** The first message of an X11 client. */
function setup(order: "B" | "l", name: string, data: Buffer): Buffer {
  const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const head = Buffer.alloc(12);
  head[0] = order.charCodeAt(0);
  const write = order === "B" ? head.writeUInt16BE.bind(head) : head.writeUInt16LE.bind(head);
  write(11, 2);
  write(name.length, 6);
  write(data.length, 8);
  return Buffer.concat([head, pad(Buffer.from(name)), pad(data)]);
}

const fake = Buffer.alloc(16, 7);
const real = Buffer.from("real cookie of 23 bytes");

test.each(["B", "l"] as const)(
  "in byte order %s the session's cookie becomes the display's, of any length",
  (order) => {
    expect(replaceCookie(setup(order, NAME, fake), fake, real)).toEqual(setup(order, NAME, real));
    expect(replaceCookie(setup(order, NAME, fake), fake, undefined)).toEqual(setup(order, "", Buffer.alloc(0)));
  },
);

test("a client without the session's cookie is rejected", () => {
  expect(replaceCookie(setup("l", NAME, Buffer.alloc(16, 8)), fake, real)).toBeUndefined();
  expect(replaceCookie(setup("l", "", Buffer.alloc(0)), fake, real)).toBeUndefined();
  expect(replaceCookie(setup("l", "OTHER", fake), fake, real)).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 80 }), (bytes) => {
      expect(replaceCookie(Buffer.from(bytes), fake, real)).toBeUndefined();
    }),
  );
});
