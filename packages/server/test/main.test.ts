import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { parseServerConfig } from "../src/config/parse.ts";
import { databaseBusy } from "../src/db/postgres/failures.ts";
import { Users } from "../src/db/users.ts";
import { platformOfNode, programFile } from "../src/downloads/names.ts";
import { runServer } from "../src/main.ts";
import { acquireStateDir } from "../src/state/state-dir.ts";
import { firstUser, send, TextCollector, temporaryDirectory } from "./helpers.ts";

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

test("it prints its addresses, its state directory and the first step, and stops on abort", async () => {
  const config = parseServerConfig(
    { "http-address": "127.0.0.1:0", "state-dir": directory, "stun-address": "disable" },
    { homeDir: directory },
  );
  const stdout = new TextCollector();
  const stop = new AbortController();
  const signals = process.listenerCount("SIGTERM");
  const running = runServer(config, { signal: stop.signal, stdout, stderr: new TextCollector() });
  const url = await until(() => /Listening on (http:\S+)/.exec(stdout.text)?.[1]);
  expect(stdout.text).toBe(
    `Listening on ${url}\nAccess URL: ${url}\nIn a browser: http://coder.localhost:${new URL(url).port}\nState: ${directory}\n\n` +
      `There is no user yet. Create the first one, an owner, with:\n  coder login ${url}\n`,
  );
  await firstUser(url);
  stop.abort();
  await running;
  expect(process.listenerCount("SIGTERM")).toBe(signals);
  await expect(send(url, "GET", "/healthz")).rejects.toThrow(/ECONNREFUSED/);
  acquireStateDir(directory).release();
});

test("a server that cannot hand out the command to machines like its own logs a warning when it starts", async () => {
  const own = programFile(platformOfNode(process.platform, process.arch)!);
  const started = async (flags: ServerFlagValues): Promise<string> => {
    const values = { "http-address": "127.0.0.1:0", "state-dir": directory, "stun-address": "disable", ...flags };
    const stop = new AbortController();
    const [stdout, stderr] = [new TextCollector(), new TextCollector()];
    const config = parseServerConfig(values, { homeDir: directory });
    const running = runServer(config, { signal: stop.signal, stdout, stderr });
    await until(() => /Listening on (http:\S+)/.exec(stdout.text)?.[1]);
    stop.abort();
    await running;
    return stderr.text;
  };
  expect(await started({})).toMatch(new RegExp(`WARN.*no coder command.*--binaries-dir.*file=${own}`));
  const binaries = join(directory, "binaries");
  mkdirSync(binaries);
  writeFileSync(join(binaries, own), "a program");
  expect(await started({ "binaries-dir": binaries })).not.toContain("no coder command");
});

test("a database that is busy when the server has begun to listen does not end it", async () => {
  const config = parseServerConfig(
    { "http-address": "127.0.0.1:0", "state-dir": directory, "stun-address": "disable" },
    { homeDir: directory },
  );
  const stdout = new TextCollector();
  const stop = new AbortController();
  const count = vi.spyOn(Users.prototype, "count").mockRejectedValue(databaseBusy());
  const running = runServer(config, { signal: stop.signal, stdout, stderr: new TextCollector() });
  const url = await until(() => /Listening on (http:\S+)/.exec(stdout.text)?.[1]);
  expect(count).toHaveBeenCalled();
  count.mockRestore();
  await firstUser(url);
  stop.abort();
  await running;
});

test("a second server on the same directory is refused with a sentence", async () => {
  const held = acquireStateDir(directory);
  const config = parseServerConfig({ "http-address": "127.0.0.1:0", "state-dir": directory }, { homeDir: directory });
  await expect(runServer(config, { stdout: new TextCollector(), stderr: new TextCollector() })).rejects.toMatchObject({
    name: "ServerError",
    code: "ERR_STATE_DIR_IN_USE",
  });
  held.release();
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "the process ends cleanly on %s, in the middle of a watch, and not on SIGHUP",
  async (signal) => {
    const child = startProcess(directory);
    const output = new TextCollector();
    child.stdout?.on("data", (chunk: Buffer) => output.write(chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => output.write(chunk.toString()));
    const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
    const url = await until(() => /Listening on (http:\S+)/.exec(output.text)?.[1]);
    const { token } = await firstUser(url);
    const created = await send(url, "POST", "/api/v2/users/me/workspaces", { token, body: { name: "dev" } });
    const watching = await fetch(`${url}/api/v2/workspaces/${created.json.id}/watch`, {
      headers: { [SESSION_TOKEN_HEADER]: token },
    });
    child.kill("SIGHUP");
    await until(() => /no TLS certificates to reload/.exec(output.text)?.[0]);
    child.kill(signal);
    expect(await watching.text()).toContain("event: ping");
    expect(await exit).toBe(0);
    expect(output.text).toContain("stopping");
    expect(output.text).not.toContain("ERRO");
  },
);

function startProcess(stateDir: string): ChildProcess {
  return spawn(process.execPath, [fileURLToPath(new URL("./durability/serve.ts", import.meta.url))], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], CODER_HTTP_ADDRESS: "127.0.0.1:0", CODER_STATE_DIRECTORY: stateDir },
  });
}

async function until<T>(read: () => T | undefined): Promise<T> {
  for (;;) {
    const value = read();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
