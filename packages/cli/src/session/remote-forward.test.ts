import { describe, expect, it } from "vitest";
import { parseRemoteForward } from "./remote-forward.ts";

describe("parseRemoteForward", () => {
  it.each([
    [
      "8080:127.0.0.1:3000",
      { kind: "tcp", host: "localhost", port: 8080 },
      { kind: "tcp", host: "127.0.0.1", port: 3000 },
    ],
    ["8080:[::1]:3000", { kind: "tcp", host: "localhost", port: 8080 }, { kind: "tcp", host: "::1", port: 3000 }],
    ["0:a:1", { kind: "tcp", host: "localhost", port: 0 }, { kind: "tcp", host: "a", port: 1 }],
    ["127.0.0.1:80:a:1", { kind: "tcp", host: "127.0.0.1", port: 80 }, { kind: "tcp", host: "a", port: 1 }],
    ["[::1]:80:[::1]:1", { kind: "tcp", host: "::1", port: 80 }, { kind: "tcp", host: "::1", port: 1 }],
    ["*:80:a:1", { kind: "tcp", host: "", port: 80 }, { kind: "tcp", host: "a", port: 1 }],
    [":80:a:1", { kind: "tcp", host: "", port: 80 }, { kind: "tcp", host: "a", port: 1 }],
    ["localhost:80:/tmp/l", { kind: "tcp", host: "localhost", port: 80 }, { kind: "unix", path: "/tmp/l" }],
    ["/tmp/r.sock:/tmp/l.sock", { kind: "unix", path: "/tmp/r.sock" }, { kind: "unix", path: "/tmp/l.sock" }],
    [
      "65535:host.example:1",
      { kind: "tcp", host: "localhost", port: 65535 },
      { kind: "tcp", host: "host.example", port: 1 },
    ],
    ["/tmp/r.sock:localhost:22", { kind: "unix", path: "/tmp/r.sock" }, { kind: "tcp", host: "localhost", port: 22 }],
  ])("reads %s", (text, remote, local) => {
    expect(parseRemoteForward(text)).toEqual({ remote, local, text });
  });

  it.each(["", "8080", "8080:3000", "70000:localhost:1", "1:localhost:0", "a:b:c", "1:::1:2"])("refuses %j", (text) => {
    expect(() => parseRemoteForward(text)).toThrow("-R");
  });
});
