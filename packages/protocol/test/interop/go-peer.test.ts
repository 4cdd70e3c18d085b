/** Our yamux and dRPC against the implementations that Coder uses (hashicorp/yamux, storj/drpc), in both directions. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DrpcFailure } from "../../src/drpc/call.ts";
import { startCall } from "../../src/drpc/client.ts";
import { type RouteHandler, serveDrpc } from "../../src/drpc/server.ts";
import { YamuxSession } from "../../src/yamux/session.ts";

const folder = mkdtempSync(join(tmpdir(), "protocol-interop-"));
const peer = join(folder, "peer");

function hasGo(): boolean {
  try {
    execFileSync("go", ["version"]);
    return true;
  } catch {
    return false; // the name of the suite says so
  }
}

/** A session whose transport is the standard input and output of a Go process. */
function withPeer(mode: "serve" | "call"): {
  readonly session: YamuxSession;
  readonly child: ChildProcessWithoutNullStreams;
  readonly stderr: () => string;
  readonly exited: Promise<number | null>;
} {
  const child = spawn(peer, [mode]);
  const session = new YamuxSession({
    role: mode === "serve" ? "client" : "server",
    pingIntervalMs: 150,
    pingTimeoutMs: 5_000,
  });
  let timer: NodeJS.Timeout | undefined;
  let scheduled = false;
  const pump = (): void => {
    scheduled = false;
    for (let bytes = session.takeOutput(); bytes !== undefined; bytes = session.takeOutput()) child.stdin.write(bytes);
    clearTimeout(timer);
    const at = session.nextTimeout();
    if (at === undefined) return;
    timer = setTimeout(
      () => {
        session.handleTimeout(performance.now());
        pump();
      },
      Math.max(1, at - performance.now()),
    );
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(pump);
  };
  session.onOutput = schedule;
  child.stdout.on("data", (bytes: Buffer) => {
    session.handleBytes(bytes, performance.now());
    schedule();
  });
  child.stdin.on("error", () => session.handleEnd("the process closed its input"));
  let text = "";
  child.stderr.on("data", (bytes: Buffer) => {
    text += bytes.toString();
  });
  const exited = new Promise<number | null>((resolve) => child.on("close", resolve));
  child.on("close", () => session.handleEnd());
  schedule();
  return { session, child, stderr: () => text, exited };
}

interface Answer {
  readonly messages: Uint8Array[];
  readonly failure: DrpcFailure | undefined;
}

function call(session: YamuxSession, path: string, requests: readonly Uint8Array[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const messages: Uint8Array[] = [];
    const started = startCall(session, path, {
      onMessage: (bytes) => messages.push(bytes),
      onEnd: () => resolve({ messages, failure: undefined }),
      onFailure: (failure) => resolve({ messages, failure }),
    });
    if (started === undefined) return reject(new Error(`no call: ${session.ended?.failure}`));
    for (const request of requests) started.sendMessage(request);
    started.closeSend();
  });
}

const goFound = hasGo();

describe.skipIf(!goFound)(`a Go peer (Go is ${goFound ? "here" : "missing here"})`, () => {
  beforeAll(() => {
    execFileSync("go", ["build", "-o", peer, "."], { cwd: join(import.meta.dirname, "go") });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("answers our calls", async () => {
    const { session, stderr, exited, child } = withPeer("serve");
    for (const size of [0, 1, 70_000, 3_000_000]) {
      const { messages, failure } = await call(session, "/echo", [new Uint8Array(size).fill(9)]);
      expect(failure).toBeUndefined();
      expect(messages.map((bytes) => bytes.length)).toEqual([size]);
      expect(messages[0]!.every((byte) => byte === 9)).toBe(true);
    }
    expect((await call(session, "/fail", [])).failure).toEqual({ reason: "remote", code: 12, text: "not today" });
    expect((await call(session, "/nothing", [])).failure?.text).toContain('unknown rpc: "/nothing"');

    const many = await call(session, "/many", [new Uint8Array(1)]);
    expect(many.failure).toBeUndefined();
    expect(many.messages.map((bytes) => `${bytes.length}:${bytes[4999]}`)).toEqual(
      Array.from({ length: 200 }, (_, i) => `5000:${i}`),
    );

    const words = Array.from({ length: 100 }, (_, i) => new Uint8Array(i * 100).fill(i));
    expect((await call(session, "/echo", words)).messages).toEqual(words);

    const all = await Promise.all(
      Array.from({ length: 100 }, (_, i) => call(session, "/echo", [new Uint8Array(1000 * i).fill(i)])),
    );
    expect(all.map(({ messages }) => `${messages[0]?.length}:${messages[0]?.[0]}`)).toEqual(
      Array.from({ length: 100 }, (_, i) => `${1000 * i}:${i === 0 ? undefined : i}`),
    );

    const hanging = startCall(session, "/hang", {
      onMessage: () => undefined,
      onEnd: () => undefined,
      onFailure: () => undefined,
    })!;
    hanging.sendMessage(new Uint8Array(1));
    await call(session, "/echo", [new Uint8Array(1)]); // the other side has seen what was sent before
    hanging.cancel();
    await expect.poll(stderr, { timeout: 5_000 }).toContain("cancelled");

    // Several pings each way have passed; nothing is left over, and Go reports no error.
    await expect.poll(() => session.lastPongAt ?? 0, { timeout: 5_000 }).toBeGreaterThan(0);
    await expect.poll(() => session.streamCount, { timeout: 5_000 }).toBe(0);
    expect((await call(session, "/echo", [Uint8Array.of(1)])).messages).toEqual([Uint8Array.of(1)]);
    expect(session.ended).toBeUndefined();
    expect(stderr()).not.toContain("[ERR]");
    session.close();
    child.stdin.end();
    await exited;
  });

  test("makes calls that we answer", async () => {
    const { session, stderr, exited } = withPeer("call");
    let cancelled = 0;
    const routes = new Map<string, RouteHandler>([
      [
        "/echo",
        (answering) => ({
          onMessage: (bytes) => void answering.respond(bytes),
          onEnd: () => answering.finish(),
          onCancel: () => undefined,
        }),
      ],
      [
        "/fail",
        (answering) => ({
          onMessage: () => answering.fail(12, "not today"),
          onEnd: () => undefined,
          onCancel: () => undefined,
        }),
      ],
      [
        "/many",
        (answering) => ({
          onMessage: () => {
            for (let i = 0; i < 200; i++) answering.respond(new Uint8Array(5000).fill(i));
            answering.finish();
          },
          onEnd: () => undefined,
          onCancel: () => undefined,
        }),
      ],
      [
        "/hang",
        () => ({
          onMessage: () => undefined,
          onEnd: () => undefined,
          onCancel: () => {
            cancelled++;
          },
        }),
      ],
    ]);
    serveDrpc(session, { find: (path) => routes.get(path) });
    expect(await exited, stderr()).toBe(0);
    expect(stderr()).not.toContain("[ERR]");
    const lines = stderr().trim().split("\n");
    expect(JSON.parse(lines.find((line) => line.startsWith("{"))!)).toEqual({
      echoed: [0, 1, 70_000, 3_000_000],
      failCode: 12,
      failText: "not today",
      unknownCode: 0,
      unknownKnown: true,
      concurrent: 100,
      bidi: 100,
      bidiEnd: "EOF",
      many: 200,
      manyEnd: "EOF",
      alive: true,
    });
    expect(cancelled).toBe(1);
    expect(session.streamCount).toBe(0);
  });
});
