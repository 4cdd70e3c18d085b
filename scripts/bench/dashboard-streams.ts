/** A thousand open dashboards of one deployment: what each costs the server, and how soon a change is at all of them. */
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { WebSocket as Socket } from "ws";
import type { TestDeployment } from "../../packages/cli/test/e2e/deployment.ts";
import { residentBytes } from "./process-usage.ts";
import { quantile, type Rounds } from "./report.ts";

const { WebSocket } = createRequire(join(import.meta.dirname, "../../packages/server/package.json"))("ws") as {
  WebSocket: typeof Socket;
};

const USERS = 200;
/** As many as a user may have. */
const STREAMS_PER_USER = 5;
const STREAMS = USERS * STREAMS_PER_USER;
const CHANGES = 30;
const TOGETHER = 4;
/** What the making of the users left behind is collected meanwhile. */
const SETTLE_MS = 3_000;
const ARRIVES_WITHIN_MS = 10_000;

/** Calls back with each message. */
interface Follower {
  readonly socket: Socket;
  onMessage: () => void;
}

export async function streamRows(deployment: TestDeployment, measured: Rounds): Promise<void> {
  const { pid } = deployment.server!;
  const tokens = await people(deployment);
  await sleep(SETTLE_MS);
  const before = residentBytes(pid!);
  const followers = await follow(deployment, tokens);
  await sleep(SETTLE_MS);
  const each = (residentBytes(pid!) - before) / STREAMS / 1024;
  measured.add(`${STREAMS} streams, memory of the server for each`, each, "KiB", { better: "lower", target: 40 });
  const delays = await fanOut(deployment, followers);
  measured.add(`${STREAMS} streams, a change at one, p50`, quantile(delays, 0.5), "ms", { better: "lower" });
  measured.add(`${STREAMS} streams, a change at one, p99`, quantile(delays, 0.99), "ms", {
    better: "lower",
    target: 100,
  });
  await Promise.all(
    followers.map(async ({ socket }) => {
      socket.close();
      await once(socket, "close");
    }),
  );
}

/** Owners of the deployment, who all see the same list. */
async function people(deployment: TestDeployment): Promise<string[]> {
  const tokens: string[] = [];
  for (let made = 0; made < USERS; made += TOGETHER) {
    const names = Array.from({ length: Math.min(TOGETHER, USERS - made) }, (_, index) => `user-${made + index}`);
    tokens.push(...(await Promise.all(names.map((name) => person(deployment, name)))));
  }
  return tokens;
}

async function person(deployment: TestDeployment, username: string): Promise<string> {
  const ask = async (method: string, path: string, body: object): Promise<Record<string, string>> => {
    const answer = await deployment.api(method, `/api/v2${path}`, body);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Record<string, string>;
  };
  const account = { email: `${username}@example.com`, username, password: "a password for a bench" };
  await ask("POST", "/users", { ...account, login_type: "password", user_status: "active" });
  await ask("PUT", `/users/${username}/roles`, { roles: ["owner"] });
  return (await ask("POST", `/users/${username}/keys/tokens`, { token_name: "bench" }))["key"]!;
}

async function follow(deployment: TestDeployment, tokens: readonly string[]): Promise<Follower[]> {
  const url = `${deployment.directUrl.replace("http", "ws")}/api/v2/dashboard/stream`;
  const followers: Follower[] = [];
  for (const token of tokens) {
    const opened = Array.from({ length: STREAMS_PER_USER }, async (): Promise<Follower> => {
      const socket = new WebSocket(url, { headers: { "Coder-Session-Token": token } });
      await once(socket, "open");
      const follower: Follower = { socket, onMessage: () => undefined };
      const snapshot = once(socket, "message");
      socket.send(JSON.stringify({ op: "sub", id: 1, topic: "workspaces", args: { q: "" } }));
      await snapshot;
      socket.on("message", () => follower.onMessage());
      return follower;
    });
    followers.push(...(await Promise.all(opened)));
  }
  return followers;
}

/** Milliseconds from the request that changes a workspace to each stream that tells of it. */
async function fanOut(deployment: TestDeployment, followers: readonly Follower[]): Promise<number[]> {
  const workspace = (await (await deployment.api("GET", "/api/v2/users/owner/workspace/dev")).json()) as { id: string };
  const delays: number[] = [];
  for (let change = 0; change < CHANGES; change++) {
    const started = performance.now();
    const arrived = followers.map(
      (follower) =>
        new Promise<void>((resolve) => {
          follower.onMessage = () => {
            follower.onMessage = () => undefined;
            delays.push(performance.now() - started);
            resolve();
          };
        }),
    );
    const name = change % 2 === 0 ? "changed" : "dev";
    const answer = await deployment.api("PATCH", `/api/v2/workspaces/${workspace.id}`, { name });
    if (!answer.ok) throw new Error(await answer.text());
    const late = sleep(ARRIVES_WITHIN_MS, "late", { ref: false });
    if ((await Promise.race([Promise.all(arrived), late])) === "late")
      throw new Error(`${delays.length} of ${(change + 1) * followers.length} messages arrived`);
    await sleep(100); // changes that come in a row are read once
  }
  return delays;
}
