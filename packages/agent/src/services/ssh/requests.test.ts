import { describe, expect, it } from "vitest";
import { parseChannelRequest, parseGlobalRequest } from "./requests.ts";

const SIZE = { cols: 80, rows: 24, width: 640, height: 480 };
const PARSED_SIZE = { columns: 80, rows: 24, pixelWidth: 640, pixelHeight: 480 };

describe("channel requests", () => {
  it.each([
    [
      "pty-req",
      { term: "xterm", ...SIZE, modes: { ECHO: 1 } },
      { terminal: { term: "xterm", size: PARSED_SIZE, modes: { ECHO: 1 } } },
    ],
    ["env", { name: "LANG", value: "C" }, { name: "LANG", value: "C" }],
    ["window-change", SIZE, { size: PARSED_SIZE }],
    ["shell", null, {}],
    ["exec", "ls", { command: "ls" }],
    ["exec", Buffer.of(0xff), { command: Buffer.of(0xff) }],
    ["env", { name: "LANG", value: Buffer.of(0xff) }, { name: "LANG", value: Buffer.of(0xff) }],
    ["subsystem", "sftp", { name: "sftp" }],
    ["signal", "TERM", { name: "TERM" }],
    ["auth-agent-req@openssh.com", null, {}],
    ["eow@openssh.com", null, {}],
    [
      "x11-req",
      { single: true, protocol: "MIT-MAGIC-COOKIE-1", cookie: Buffer.from("00ff"), screen: 0 },
      { x11: { single: true, protocol: "MIT-MAGIC-COOKIE-1", cookie: "00ff", screen: 0 } },
    ],
  ])("%s is parsed", (type, data, parsed) => {
    expect(parseChannelRequest(type, data)).toEqual({ type, ...parsed });
  });

  it.each([
    ["pty-req", undefined],
    ["pty-req", { ...SIZE, modes: {} }],
    ["env", { name: "LANG" }],
    ["window-change", { cols: 80, rows: 24 }],
    ["exec", null],
    ["signal", 15],
    ["x11-req", { protocol: "MIT-MAGIC-COOKIE-1", cookie: "not hex", screen: 0 }],
    ["xon-xoff", true],
    ["unknown@example.com", Buffer.from([1])],
  ])("%s with %j is refused", (type, data) => {
    expect(parseChannelRequest(type, data)).toBeUndefined();
  });
});

describe("global requests", () => {
  it.each(["tcpip-forward", "cancel-tcpip-forward"])("%s is parsed", (name) => {
    const data = { bindAddr: "localhost", bindPort: 0 };
    expect(parseGlobalRequest(name, data)).toEqual({ name, address: "localhost", port: 0 });
    expect(parseGlobalRequest(name, { bindAddr: "localhost" })).toBeUndefined();
  });

  it.each(["streamlocal-forward@openssh.com", "cancel-streamlocal-forward@openssh.com"])("%s is parsed", (name) => {
    expect(parseGlobalRequest(name, { socketPath: "/tmp/socket" })).toEqual({ name, path: "/tmp/socket" });
    expect(parseGlobalRequest(name, null)).toBeUndefined();
    expect(parseGlobalRequest(name, { socketPath: Buffer.of(0xff) })).toBeUndefined();
  });

  it("anything else is unknown", () => {
    expect(parseGlobalRequest("keepalive@openssh.com", null)).toBeUndefined();
  });
});
