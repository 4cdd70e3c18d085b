/** Relayed connections and transfers of `coder port-forward` survive an outage of the server. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { ANSWER, ForwardedWorkspace } from "./forwarded-workspace.ts";

describe("port-forward", () => {
  let workspace: ForwardedWorkspace;

  beforeAll(async () => {
    workspace = await ForwardedWorkspace.start();
  });

  afterEach(() => workspace.endForwards());

  afterAll(async () => {
    await workspace?.close();
  });

  it("relayed connections and an sftp transfer continue while the server is killed and restarted", async () => {
    const local = await freePort();
    await workspace.forward("--tcp", `${local}:${workspace.hashingPort}`, "--disable-direct-connections");
    const socket = connect({ port: local, host: "127.0.0.1", allowHalfOpen: true });
    const heard: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => heard.push(chunk));
    const sent = randomBytes(2 << 20);
    socket.write(sent.subarray(0, 1 << 19));
    const file = workspace.deployment.write("large", "x".repeat(64 << 20));
    const copied = `${file}.copy`;
    const copying = workspace.deployment.run(["cp", "--disable-direct-connections", file, `demo:${copied}`]);
    while (!existsSync(`${copied}.coder-part`)) await sleep(5);
    workspace.deployment.server!.kill("SIGKILL");
    await once(workspace.deployment.server!, "exit");
    socket.write(sent.subarray(1 << 19, 1 << 20)); // no path exists at this point
    await workspace.deployment.startServer();
    socket.end(sent.subarray(1 << 20));
    await once(socket, "close");
    expect(Buffer.concat(heard).subarray(ANSWER.length)).toEqual(createHash("sha256").update(sent).digest());
    const done = await copying;
    expect(done.code, done.stderr).toBe(0);
    expect(readFileSync(copied).equals(readFileSync(file))).toBe(true);
  });
});
