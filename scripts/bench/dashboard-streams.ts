/** The streams of a thousand open dashboards: how soon a change reaches all of them, and what each costs the server. */
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { WebSocket as Socket } from "ws";
import type { TestDeployment } from "../../packages/cli/test/e2e/deployment.ts";
import { residentBytes, usageMissing } from "./process-usage.ts";
import { median, quantile, type Rounds } from "./report.ts";

const { WebSocket } = createRequire(join(import.meta.dirname, "../../packages/server/package.json"))("ws") as {
  WebSocket: typeof Socket;
};

export const STREAMS = 1_000;
/** As many as one user may have open. */
const PER_USER = 5;
const AT_ONCE = 8;
const CHANGES = 30;
const ARRIVAL_MS = 30_000;
const PASSWORD = "a password of a bench";

const less = { better: "lower" } as const;

/** Users who see every workspace; returns a token of each. */
export async function addViewers(deployment: TestDeployment): Promise<string[]> {
  const tokens: string[] = [];
  const post = async (method: string, path: string, body: object): Promise<Response> => {
    const answer = await deployment.api(method, path, body);
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  };
  const lane = async (first: number): Promise<void> => {
    for (let n = first; n < STREAMS / PER_USER; n += AT_ONCE) {
      const username = `viewer${n}`;
      await post("POST", "/api/v2/users", { email: `${username}@example.com`, username, password: PASSWORD });
      await post("PUT", `/api/v2/users/${username}/roles`, { roles: ["owner"] });
      const made = await post("POST", `/api/v2/users/${username}/keys/tokens`, { token_name: "bench" });
      tokens.push(((await made.json()) as { key: string }).key);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, first) => lane(first)));
  return tokens;
}

/** From the request that renames the workspace until its new name has arrived at each stream. */
export async function fanOut(
  deployment: TestDeployment,
  { tokens, workspaceId, name }: { tokens: readonly string[]; workspaceId: string; name: (change: number) => string },
  measured: Rounds,
): Promise<void> {
  const { pid } = deployment.server!;
  const before = usageMissing.length === 0 ? residentBytes(pid!) : Number.NaN;
  const sockets = await openStreams(deployment, tokens);
  try {
    if (usageMissing.length === 0)
      measured.add(
        `${STREAMS} open dashboards, memory of the server for each`,
        (residentBytes(pid!) - before) / STREAMS / 1_024,
        "KiB",
        { ...less, target: 40 },
      );
    const [each, last]: [number[], number[]] = [[], []];
    for (let change = 0; change < CHANGES; change++) {
      const arrivals = sockets.map((socket) => arrival(socket, `"name":"${name(change)}"`));
      const started = performance.now();
      const answer = await deployment.api("PATCH", `/api/v2/workspaces/${workspaceId}`, { name: name(change) });
      if (!answer.ok) throw new Error(`the workspace was not renamed: ${answer.status} ${await answer.text()}`);
      const times = (await Promise.all(arrivals)).map((at) => at - started);
      each.push(...times);
      last.push(Math.max(...times));
    }
    const figure = (what: string): string => `a change until it is at ${STREAMS} open dashboards, ${what}`;
    measured.add(figure("p50"), quantile(each, 0.5), "ms", less);
    measured.add(figure("p99"), quantile(each, 0.99), "ms", { ...less, target: 100 });
    measured.add(figure("the last of them"), median(last), "ms", less);
  } finally {
    for (const socket of sockets) socket.terminate();
  }
}

async function openStreams(deployment: TestDeployment, tokens: readonly string[]): Promise<Socket[]> {
  const url = `${deployment.directUrl.replace("http", "ws")}/api/v2/dashboard/stream`;
  const holders = tokens.flatMap((token) => Array.from({ length: PER_USER }, () => token));
  const sockets: Socket[] = [];
  const lane = async (first: number): Promise<void> => {
    for (let n = first; n < holders.length; n += AT_ONCE) {
      const socket = new WebSocket(url, {
        headers: { "Coder-Session-Token": holders[n]! },
        perMessageDeflate: false,
        skipUTF8Validation: true,
      });
      sockets.push(socket);
      await once(socket, "open");
      const first = once(socket, "message");
      socket.send('{"op":"sub","id":1,"topic":"workspaces","args":{"q":""}}');
      await first;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, first) => lane(first)));
  return sockets;
}

/** The time at which a message with this text is there. */
function arrival(socket: Socket, text: string): Promise<number> {
  const wanted = Buffer.from(text);
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(late);
      socket.off("message", look);
      socket.off("close", failed);
    };
    const look = (data: Buffer): void => {
      if (!data.includes(wanted)) return;
      done();
      resolve(performance.now());
    };
    const failed = (): void => {
      done();
      reject(new Error(`a stream never had ${text}`));
    };
    const late = setTimeout(failed, ARRIVAL_MS);
    socket.on("message", look).on("close", failed);
  });
}
