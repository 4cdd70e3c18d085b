/**
 * The library in a web page: reach a workspace through its deployment's relay, end-to-end encrypted by WireGuard.
 *
 *     const workspace = await connectWorkspace({ url: new URL(location.origin), token, workspace: "dev" });
 *     const response = await workspace.fetch(8080, "/");
 */
import { agentAddress, randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import { parseWorkspaceName } from "coder-protocol/names";
import { abortable } from "wg-userspace/async/abort";
import { ip } from "wg-userspace/base/ip";
import { browserRandom } from "wg-userspace/browser/crypto";
import type { Attempt } from "../connection/attempt.ts";
import { type BegunTunnel, connectFlow, type FlowOptions } from "../connection/connect-flow.ts";
import { type DuplexStream, exchange } from "../connection/tunnel-fetch.ts";
import { fetchConnectionInfo } from "../rest/connection-info.ts";
import { coordinate } from "./control.ts";
import { BrowserDeployment } from "./deployment.ts";
import { BrowserNode, type BrowserNodeEvent } from "./node.ts";
import { openStream } from "./streams.ts";

const PING_EVERY_MS = 500;
const DEFAULT_TIMEOUT_MS = 60_000;

export interface BrowserConnectOptions extends FlowOptions {
  /** The deployment's access URL: the page's own origin, or one that lets the page in. */
  readonly url: URL;
  readonly token: string;
  /** `[owner/]workspace[.agent]`. */
  readonly workspace: string;
  /** For the whole attempt; default 60 s, 0: no limit. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Finds the workspace, waits for its agent and connects to it. Rejects with ClientError naming what is missing, EngineError,
 * NameError for a malformed name, or `signal.reason`.
 */
export async function connectWorkspace(options: BrowserConnectOptions): Promise<BrowserWorkspace> {
  const { url, token, workspace, timeoutMs = DEFAULT_TIMEOUT_MS, ...choices } = options;
  const deployment = new BrowserDeployment({ url, token });
  const { connection } = await connectFlow(
    deployment,
    parseWorkspaceName(workspace),
    { ...choices, timeoutMs },
    (signal) => begin(deployment, signal),
  );
  return connection;
}

async function begin(deployment: BrowserDeployment, signal: AbortSignal): Promise<BegunTunnel<BrowserWorkspace>> {
  const { derpMap } = await fetchConnectionInfo(deployment, { signal });
  const node = new BrowserNode({
    url: deployment.url,
    address: randomClientAddress(browserRandom),
    nodeId: randomNodeId(browserRandom),
  });
  node.setDerpMap(derpMap);
  const stop = new AbortController();
  let trouble: string | undefined;
  const stopListening = node.on((event) => {
    if (event.kind === "control-lost" || event.kind === "relay-lost") trouble = event.reason;
  });
  return {
    connect: async (agentId, attempt) => {
      node.destination = agentId;
      const control = coordinate({
        deployment,
        agentId,
        node,
        signal: stop.signal,
        onLost: (reason) => node.controlLost(reason),
      });
      await reach(node, agentId, attempt);
      stopListening();
      return new BrowserWorkspace(node, agentId, async () => {
        stop.abort();
        await control;
      });
    },
    describeTrouble: () => trouble,
    close: async () => {
      stop.abort();
      node.close();
    },
  };
}

/** Resolves with the first answer of the agent inside the tunnel. */
async function reach(node: BrowserNode, agentId: string, attempt: Attempt): Promise<void> {
  const cancels: (() => void)[] = [];
  await abortable<void>(attempt.signal, (resolve) => {
    const ask = (): void => {
      const waitingFor = !node.relayReady
        ? "relay"
        : !node.isProgrammed(agentId)
          ? "agent"
          : node.hasSession
            ? "reachability"
            : "handshake";
      attempt.enter({ kind: "tunnel", waitingFor });
      if (waitingFor === "handshake" || waitingFor === "reachability")
        cancels.push(node.ping(agentAddress(agentId), () => resolve()));
    };
    const stopListening = node.on(ask);
    const timer = setInterval(ask, PING_EVERY_MS);
    ask();
    return () => {
      clearInterval(timer);
      stopListening();
      for (const cancel of cancels) cancel();
    };
  });
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
