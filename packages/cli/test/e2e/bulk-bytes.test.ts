/**
 * Much data through every bulk path of real processes, written in pieces of varying size to readers that pause now and then.
 * Memory that is released or reused too early shows as wrong bytes.
 */
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { bulkData, bulkHash } from "./bulk-data.ts";
import { TestDeployment } from "./deployment.ts";

describe("bulk data", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  }, 120_000);

  afterAll(async () => {
    await deployment?.close();
  }, 30_000);

  it.each([[[]], [["--disable-direct-connections"]]])("through coder ssh, there and back, with %j", async (flags) => {
    const child = deployment.spawn(["ssh", ...flags, "demo", "--", "cat"], {});
    const [sent, received] = await Promise.all([writePieces(child.stdin!), readSlowly(child.stdout!)]);
    expect([received, sent]).toEqual([bulkHash, bulkData.length]);
  });

  it("through a forwarded port, there and back", async () => {
    const echo = await listen((socket) => void socket.pipe(socket));
    const local = await freePort();
    const forward = deployment.spawn(["port-forward", "demo", "--tcp", `${local}:${echo.port}`], {});
    await until(forward, "Forwarding tcp://");
    const socket = connect({ port: local, host: "127.0.0.1", allowHalfOpen: true });
    const [, received] = await Promise.all([writePieces(socket), readSlowly(socket)]);
    expect(received).toBe(bulkHash);
    socket.destroy();
    forward.kill("SIGTERM");
    await once(forward, "close");
    echo.server.close();
  });
});

async function writePieces(sink: Writable): Promise<number> {
  let at = 0;
  for (let turn = 0; at < bulkData.length; turn++) {
    const piece = bulkData.subarray(at, at + 1 + ((turn * 104_729) % 150_000));
    at += piece.length;
    if (!sink.write(piece)) await once(sink, "drain");
  }
  sink.end();
  return at;
}

/** Pauses for some turns of the event loop after every few chunks. */
async function readSlowly(source: Readable): Promise<string> {
  const hash = createHash("sha256");
  let chunks = 0;
  for await (const chunk of source) {
    hash.update(chunk as Buffer);
    if (++chunks % 8 === 0) for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
  }
  return hash.digest("hex");
}

async function listen(serve: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

function until(child: ChildProcess, text: string): Promise<void> {
  let said = "";
  return new Promise((resolve, reject) => {
    child.stderr!.on("data", (chunk: Buffer) => {
      said += String(chunk);
      if (said.includes(text)) resolve();
    });
    child.once("close", () => reject(new Error(`it ended: ${said}`)));
  });
}
