import { expect, test } from "vitest";
import { parseDynamicForward, parseLocalForward } from "./local-forward.ts";

test.each([
  ["8080:localhost:80", { port: 8080, target: { kind: "tcp", host: "localhost", port: 80 } }],
  ["localhost:8080:db:5432", { port: 8080, target: { kind: "tcp", host: "db", port: 5432 } }],
  ["0.0.0.0:1:a.b:65535", { bind: "0.0.0.0", port: 1, target: { kind: "tcp", host: "a.b", port: 65535 } }],
  ["[::1]:8080:[fd00::1]:80", { bind: "::1", port: 8080, target: { kind: "tcp", host: "fd00::1", port: 80 } }],
  ["*:8080:x:80", { bind: "::", port: 8080, target: { kind: "tcp", host: "x", port: 80 } }],
  [":8080:x:80", { bind: "::", port: 8080, target: { kind: "tcp", host: "x", port: 80 } }],
  ["2375:/var/run/docker.sock", { port: 2375, target: { kind: "unix", path: "/var/run/docker.sock" } }],
  ["127.0.0.1:2375:/a b:c", { bind: "127.0.0.1", port: 2375, target: { kind: "unix", path: "/a b:c" } }],
])("-L %s", (text, wanted) => {
  expect(parseLocalForward(text)).toEqual({ ...wanted, text });
});

test.each([
  "",
  "8080",
  "8080:80",
  "0:x:80",
  "70000:x:80",
  "8080:x:0",
  "8080::80",
  "a:b:8080:x:80",
  "host:8080:x:80",
  "[::1:8080:x:80",
  "8080:x y:80",
  "x:/socket",
  "8080:x:http",
])("-L %j is refused", (text) => {
  expect(() => parseLocalForward(text)).toThrow(`-L "${text}"`);
});

test.each([
  ["1080", { port: 1080 }],
  ["localhost:1080", { port: 1080 }],
  ["*:1080", { bind: "::", port: 1080 }],
  ["[::1]:1080", { bind: "::1", port: 1080 }],
])("-D %s", (text, wanted) => {
  expect(parseDynamicForward(text)).toEqual(wanted);
});

test.each(["", "0", "65536", "a:b:1", "x:1080", "1080:"])("-D %j is refused", (text) => {
  expect(() => parseDynamicForward(text)).toThrow(`-D "${text}"`);
});
