/** The deployment in the pictures. */

import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TestDeployment } from "../../packages/cli/test/e2e/deployment.ts";
import { PROXY_REGISTER_PATH, PROXY_TOKEN_HEADER } from "../../packages/protocol/src/rest/workspace-proxies.ts";

const FLAGS = ["--wildcard-access-url", "*.coder.localhost", "--max-share-level", "public"];
/** The plots need a few samples, of which the server takes one every 10 s. */
const SAMPLES_MS = 65_000;

export interface Scene extends AsyncDisposable {
  readonly deployment: TestDeployment;
}

export async function sceneOf(): Promise<Scene> {
  await using making = new AsyncDisposableStack();
  const deployment = await TestDeployment.start(async (port) => `http://coder.localhost:${port}`, undefined, FLAGS);
  making.defer(() => deployment.close());
  const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await deployment.api("POST", `/api/v2${path}`, body);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>;
  };
  for (const user of ["ada", "grace"]) await deployment.addMember(user);
  await machines(deployment, post);
  making.use(await proxies(deployment, post));
  await sleep(SAMPLES_MS);
  const owned = making.move();
  return { deployment, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

type Post = (path: string, body: object) => Promise<Record<string, unknown>>;

/** Three workspaces of the owner and one of ada; the agents of three run, and two have clients. */
async function machines(deployment: TestDeployment, post: Post): Promise<void> {
  const home = join(deployment.folder, "home");
  project(join(home, "project"));
  const environment = { PS1: "\\[\\e[1;34m\\]demo\\[\\e[0m\\]:~$ ", SHELL: "/bin/bash", HOME: home, USER: "dev" };
  const { id } = await post("/users/me/workspaces", {
    name: "demo",
    agent_metadata: [
      { key: "load", display_name: "Load", script: "cut -d' ' -f1 /proc/loadavg", interval_seconds: 5 },
      {
        key: "disk",
        display_name: "Disk",
        script: "df -h --output=pcent / | tail -1 | tr -d ' '",
        interval_seconds: 5,
      },
    ],
    agent_scripts: [{ display_name: "dotfiles", script: "echo linked 12 files", run_on_start: true }],
  });
  const credentials = await deployment.api("GET", `/api/v2/workspaces/${id}/external-agent/main/credentials`);
  deployment.startAgent(((await credentials.json()) as { agent_token: string }).agent_token, environment);
  deployment.startAgent(await deployment.createWorkspace("build-box"), environment);
  deployment.startAgent(await deployment.createWorkspace("notebook", "ada"), environment);
  await deployment.createWorkspace("laptop");
  deployment.spawnCommand("python3", ["-m", "http.server", "--bind", "127.0.0.1", "8080"], { PYTHONUNBUFFERED: "1" });
  for (const workspace of ["demo", "build-box"]) {
    const reached = await deployment.run(["ssh", workspace, "--", "true"]);
    if (reached.code !== 0) throw new Error(reached.stderr);
    deployment.spawn(["ssh", workspace, "--", "sleep", "3600"], {});
  }
  await post(`/workspaces/${id}/port-share`, {
    agent_name: "main",
    port: 8080,
    share_level: "authenticated",
    label: "preview",
  });
}

function project(folder: string): void {
  mkdirSync(join(folder, "src"), { recursive: true });
  writeFileSync(join(folder, "README.md"), "# A project\n");
  writeFileSync(join(folder, "src/index.ts"), 'console.log("hello");\n');
  const git = (...args: string[]): void => {
    const identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.com"];
    execFileSync("git", ["-C", folder, ...identity, ...args], { stdio: "ignore" });
  };
  git("init");
  git("add", ".");
  git("commit", "-m", "first page");
}

/** One proxy that was never started, and three whose checks find nothing, a warning and an error. */
async function proxies(deployment: TestDeployment, post: Post): Promise<AsyncDisposable> {
  await post("/workspaceproxies", { name: "london", display_name: "London", icon: "" });
  const stack = new AsyncDisposableStack();
  for (const [name, title, found] of [
    ["sydney", "Sydney", { errors: [], warnings: [] }],
    ["tokyo", "Tokyo", { errors: [], warnings: ["The clock is 3 s off"] }],
    ["sao-paulo", "São Paulo", { errors: ["The relay does not listen: address already in use"], warnings: [] }],
  ] as const) {
    const { proxy_token: token } = await post("/workspaceproxies", { name, display_name: title, icon: "" });
    const server = createServer((_request, response) => response.end(JSON.stringify(found)));
    await once(server.listen(0, "127.0.0.1"), "listening");
    stack.defer(() => void server.close());
    const answer = await fetch(`${deployment.directUrl}${PROXY_REGISTER_PATH}`, {
      method: "POST",
      headers: { [PROXY_TOKEN_HEADER]: String(token), "Content-Type": "application/json" },
      body: JSON.stringify({
        access_url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        derp_enabled: false,
        derp_only: false,
        replica_id: randomUUID(),
        version: "v0.1.0",
      }),
    });
    if (!answer.ok) throw new Error(`the proxy ${name}: ${answer.status} ${await answer.text()}`);
  }
  return stack;
}
