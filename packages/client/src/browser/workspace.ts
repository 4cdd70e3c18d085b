/**
 * The library in a web page: reach a workspace through its deployment's relay, end-to-end encrypted by WireGuard.
 *
 *     const workspace = await connectWorkspace({ url: new URL(location.origin), token, workspace: "dev" });
 *     const response = await workspace.fetch(8080, "/");
 */
import { agentAddress, randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import { parseWorkspaceName } from "coder-protocol/names";
import { abortable } from "wg-userspace/async/abort";
import { ip } from "wg-userspace/base/ip";
import { browserRandom } from "wg-userspace/browser/crypto";
import type { DerpMap } from "wg-userspace/derp/map";
import { ClientError } from "../base/client-error.ts";
import { Attempt } from "../connection/attempt.ts";
import { type BegunTunnel, connectFlow, type FlowOptions } from "../connection/connect-flow.ts";
import { type DuplexStream, exchange } from "../connection/tunnel-fetch.ts";
import { fetchConnectionInfo } from "../rest/connection-info.ts";
import { coordinate } from "./control.ts";
import { type BrowserAuth, BrowserDeployment } from "./deployment.ts";
import { BrowserNode, type BrowserNodeEvent } from "./node.ts";
import { openStream } from "./streams.ts";

const PING_EVERY_MS = 500;
const DEFAULT_TIMEOUT_MS = 60_000;

export interface BrowserConnectOptions extends FlowOptions {
  /** The deployment's access URL: the page's own origin, or one that permits the page. */
  readonly url: URL;
  readonly token: string;
  /** `[owner/]workspace[.agent]`. */
  readonly workspace: string;
  /** Limit for the whole attempt in ms; default 60 s, 0 for none. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Finds the workspace, waits for its agent and connects to it. Rejects with a ClientError that names what is missing,
 * EngineError, NameError for a malformed name, or `signal.reason`.
 */
export async function connectWorkspace(options: BrowserConnectOptions): Promise<BrowserWorkspace> {
  const { url, token, workspace, timeoutMs = DEFAULT_TIMEOUT_MS, ...choices } = options;
  const deployment = new BrowserDeployment({ url, auth: { token } });
  const { connection } = await connectFlow(
    deployment,
    parseWorkspaceName(workspace),
    { ...choices, timeoutMs },
    (signal) => begin(deployment, signal),
  );
  return connection;
}

/** The two ends of a tunnel, and what carries it. */
export interface TunnelEnds {
  /** WireGuard public keys; the agent's is the one that the control plane announced. */
  readonly own: Uint8Array;
  readonly agent: Uint8Array | undefined;
  /** Name of the relay region; empty where it is not known. */
  readonly region: string;
}

export interface AgentConnectOptions {
  readonly url: URL;
  readonly auth: BrowserAuth;
  readonly agentId: string;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/**
 * Connects to an agent that is known and connected to the deployment. Rejects with ClientError ERR_BROWSER_ONLY when the
 * deployment refuses tunnels, otherwise like {@link connectWorkspace}.
 */
export async function connectAgent(options: AgentConnectOptions): Promise<BrowserWorkspace> {
  const { url, auth, agentId, ...limits } = options;
  const deployment = new BrowserDeployment({ url, auth });
  const attempt = new Attempt({ ...limits, timeoutMs: limits.timeoutMs ?? DEFAULT_TIMEOUT_MS });
  let tunnel: BegunTunnel<BrowserWorkspace> | undefined;
  try {
    // A browser does not report why a WebSocket was refused, but this request does.
    const path = `/api/v2/workspaceagents/${encodeURIComponent(agentId)}/connection`;
    const info = (await deployment.call(path, { signal: attempt.signal })) as { browser_only?: unknown } | undefined;
    if (info?.browser_only === true) throw new ClientError("ERR_BROWSER_ONLY", NON_BROWSER_REFUSED);
    tunnel = await begin(deployment, attempt.signal);
    return await tunnel.connect(agentId, attempt);
  } catch (error) {
    await tunnel?.close();
    throw attempt.failure(error, agentId, tunnel?.describeTrouble());
  }
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
      return new BrowserWorkspace(node, agentId, derpMap, async () => {
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

/** Resolves with the agent's first answer inside the tunnel. */
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
  readonly #relays: DerpMap;
  readonly #leave: () => Promise<void>;

  /** @internal */
  constructor(node: BrowserNode, agentId: string, relays: DerpMap, leave: () => Promise<void>) {
    this.#node = node;
    this.#agentId = agentId;
    this.#relays = relays;
    this.#leave = leave;
  }

  /** Opens a TCP connection to a port of the workspace. */
  async dial(port: number, options: { readonly signal?: AbortSignal } = {}): Promise<DuplexStream> {
    options.signal?.throwIfAborted();
    const { connection, wake } = this.#node.connectTcp({ address: ip(agentAddress(this.#agentId)), port });
    return openStream(connection, wake, options.signal);
  }

  /** Like the page's own fetch, to a program in the workspace that serves plain HTTP on the port. Does not follow redirects. */
  async fetch(port: number, path: string, init: RequestInit = {}): Promise<Response> {
    const host = `localhost:${port}`;
    const request = new Request(new URL(path, `http://${host}`), init);
    const stream = await this.dial(port, { signal: request.signal });
    return exchange(stream, host, request);
  }

  /** Round trip of one echo inside the tunnel, in ms. Rejects with the signal's reason. */
  ping(signal: AbortSignal): Promise<number> {
    return abortable<number>(signal, (resolve) => this.#node.ping(agentAddress(this.#agentId), resolve));
  }

  /**
   * Ties the tunnel to the agent's present key and returns that key: if the control plane announces a different one, the tunnel
   * closes. Call it before you check whose key it is.
   */
  hold(): Uint8Array {
    return this.#node.hold(agentAddress(this.#agentId));
  }

  /** Does work that is overdue because timers of a hidden page run late. */
  wake(): void {
    this.#node.wake();
  }

  get ends(): TunnelEnds {
    const agent = this.#node.agentNode();
    const region = this.#relays.regions.get(agent?.preferredDerp ?? 0);
    return { own: this.#node.publicKey, agent: agent?.key, region: region?.regionName ?? "" };
  }

  /** Reports changes of relays, the control connection and WireGuard sessions. Returns a function that removes the listener. */
  on(listener: (event: BrowserNodeEvent) => void): () => void {
    return this.#node.on(listener);
  }

  /** Sends a disconnect message and closes everything. */
  async close(): Promise<void> {
    await this.#leave();
    this.#node.close();
  }
}
