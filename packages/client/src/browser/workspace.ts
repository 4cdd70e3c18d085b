/**
 * The library in a web page: reach a workspace through its deployment's relay, end-to-end encrypted by WireGuard.
 *
 *     const workspace = await connectWorkspace({ url: new URL(location.origin), token, workspace: "dev" });
 *     const response = await workspace.fetch(8080, "/");
 */
import { agentAddress, randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import { parseWorkspaceName } from "coder-protocol/names";
import { ip } from "wg-userspace/base/ip";
import { browserRandom } from "wg-userspace/browser/crypto";
import { ClientError } from "../base/client-error.ts";
import { type DuplexStream, exchange } from "../connection/tunnel-fetch.ts";
import { fetchConnectionInfo } from "../rest/connection-info.ts";
import { chooseAgent, findWorkspace } from "../rest/workspaces.ts";
import { coordinate } from "./control.ts";
import { BrowserApi } from "./deployment.ts";
import { BrowserNode, type BrowserNodeEvent } from "./node.ts";
import { openStream } from "./streams.ts";

const PING_EVERY_MS = 500;
const DEFAULT_TIMEOUT_MS = 60_000;

export interface BrowserConnectOptions {
  /** The deployment's access URL: the page's own origin, or one that lets the page in. */
  readonly url: URL;
  readonly token: string;
  /** `[owner/]workspace[.agent]`. */
  readonly workspace: string;
  readonly signal?: AbortSignal;
  /** For the whole attempt; default 60 s. */
  readonly timeoutMs?: number;
}

/** Rejects with ClientError naming what is missing, EngineError, or `signal.reason`. */
export async function connectWorkspace(options: BrowserConnectOptions): Promise<BrowserWorkspace> {
  const deadline = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  const api = new BrowserApi({ url: options.url, token: options.token });
  const name = parseWorkspaceName(options.workspace);
  const workspace = await findWorkspace(api, name, { signal });
  const agent = chooseAgent(workspace, name.agent);
  const info = await fetchConnectionInfo(api, { signal });
  const node = new BrowserNode({
    url: options.url,
    address: randomClientAddress(browserRandom),
    nodeId: randomNodeId(browserRandom),
    agentId: agent.id,
  });
  const stop = new AbortController();
  let lastTrouble: string | undefined;
  const unhear = node.on((event) => {
    if (event.kind === "control-lost" || event.kind === "relay-lost") lastTrouble = event.reason;
  });
  try {
    node.setDerpMap(info.derpMap);
    const control = coordinate({
      api,
      agentId: agent.id,
      node,
      signal: stop.signal,
      onLost: (reason) => node.controlLost(reason),
    });
    await reach(node, agentAddress(agent.id), signal);
    return new BrowserWorkspace(node, agent.id, async () => {
      stop.abort();
      await control;
    });
  } catch (error) {
    stop.abort();
    node.close();
    if (!deadline.aborted || options.signal?.aborted === true) throw error;
    const stage = !node.relayReady
      ? "no connection to a relay by WebSocket"
      : node.agentKnown
        ? "the agent did not answer through the relay"
        : "the agent has not told the control plane where it is";
    throw new ClientError("ERR_AGENT_UNREACHABLE", `Workspace "${options.workspace}" could not be reached: ${stage}`, {
      detail: lastTrouble,
      cause: error,
    });
  } finally {
    unhear();
  }
}

/** Resolves with the first answer of the agent inside the tunnel. */
async function reach(node: BrowserNode, address: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancels: (() => void)[] = [];
  const ask = (): void => {
    if (node.agentKnown && node.relayReady) cancels.push(node.ping(address, () => resolve()));
  };
  const aborted = (): void => reject(signal.reason);
  signal.addEventListener("abort", aborted, { once: true });
  const unhear = node.on(ask);
  const timer = setInterval(ask, PING_EVERY_MS);
  try {
    ask();
    await promise;
  } finally {
    clearInterval(timer);
    unhear();
    for (const cancel of cancels) cancel();
    signal.removeEventListener("abort", aborted);
  }
}

export class BrowserWorkspace {
  readonly #node: BrowserNode;
  readonly #agentId: string;
  readonly #leave: () => Promise<void>;

  /** @internal */
  constructor(node: BrowserNode, agentId: string, leave: () => Promise<void>) {
    this.#node = node;
    this.#agentId = agentId;
    this.#leave = leave;
  }

  /** Opens a TCP connection to a port of the workspace. */
  async dial(port: number, options: { readonly signal?: AbortSignal } = {}): Promise<DuplexStream> {
    options.signal?.throwIfAborted();
    const { connection, wake } = this.#node.connectTcp({ address: ip(agentAddress(this.#agentId)), port });
    return openStream(connection, wake, options.signal);
  }

  /** As the page's own fetch, to a program of the workspace that speaks plain HTTP on that port. Follows no redirects. */
  async fetch(port: number, path: string, init: RequestInit = {}): Promise<Response> {
    const host = `localhost:${port}`;
    const request = new Request(new URL(path, `http://${host}`), init);
    const stream = await this.dial(port, { signal: request.signal });
    return exchange(stream, host, request);
  }

  /** Relays, the control connection and WireGuard sessions as they come and go. Returns the way to stop listening. */
  on(listener: (event: BrowserNodeEvent) => void): () => void {
    return this.#node.on(listener);
  }

  /** Says goodbye and closes everything. */
  async close(): Promise<void> {
    await this.#leave();
    this.#node.close();
  }
}
