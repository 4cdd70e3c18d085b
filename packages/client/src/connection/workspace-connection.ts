/** A connection to one agent of a workspace: streams, datagrams and measurements through the tunnel. */
import { agentAddress } from "coder-protocol/addresses";
import { abortable, orAborted } from "wg-userspace/async/abort";
import { EngineError } from "wg-userspace/base/errors";
import { ip } from "wg-userspace/base/ip";
import type { DerpMap } from "wg-userspace/derp/map";
import type { PacketTap } from "wg-userspace/engine";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import type { TcpStream } from "wg-userspace/io/sockets/tcp-stream";
import { connectTunnelTcp, pingTunnel } from "wg-userspace/io/sockets/tcp-tunnel";
import { bindTunnelUdp } from "wg-userspace/io/sockets/udp-tunnel-socket";
import type { Path } from "wg-userspace/magicsock/path";
import type { NetReport } from "wg-userspace/netcheck/report";
import type { TcpOptions } from "wg-userspace/netstack/stack";
import type { ClientError } from "../base/client-error.ts";
import { Coordination } from "../control/coordination.ts";
import { telemetryEvent } from "../control/telemetry.ts";
import type { DirectSample, DiscoPong, PathRef, PeerPathReport } from "../node/path-report.ts";
import type { TailnetNode, TailnetNodeEvent } from "../node/tailnet-node.ts";
import { accessEnd } from "./access-end.ts";
import { Attempt, type AttemptOptions, type TunnelWait } from "./attempt.ts";
import { fetchOver } from "./fetch-over.ts";
import { openTunnel, type Tunnel, type TunnelOptions } from "./tunnel.ts";

/** First wait for the answer to a reachability ping, in ms; it grows, and several pings may be pending. */
const PING_FIRST_WAIT_MS = 250;
const PING_MAX_WAIT_MS = 5_000;
/** A changed path is reported after this time, unless it changes again. */
const TELEMETRY_DELAY_MS = 1_000;
const ADDRESS_BITS = 128;

/** Options of one connection. */
export interface ConnectionChoices {
  /** The port that will be dialled first: its SYN leaves with the handshake, without waiting for the agent's first answer. */
  readonly firstPort?: number | undefined;
  /** Reports the quality of the connection to the control plane; absent for no reports. */
  readonly telemetry?: { readonly application: string; readonly clientVersion: string } | undefined;
}

export interface WorkspaceConnectionOptions extends TunnelOptions, ConnectionChoices {
  readonly agentId: string;
  /** Path of the Tailnet service for these credentials; absent for the one that users have. @internal */
  readonly coordinatePath?: string | undefined;
  /**
   * Called when the access, or that of a user it serves, may have ended: the deployment reported it, or a control connection ended.
   * @internal
   */
  readonly onAccessDoubted?: (() => void) | undefined;
}

export interface WorkspaceUdpHandler {
  /** @param payload Borrowed: overwritten once the call returns. */
  onMessage(payload: Uint8Array): void;
  /** Nothing listens on the workspace's port. */
  onUnreachable?(): void;
}

export interface WorkspaceUdp {
  /**
   * @param payload Borrowed for the call.
   * @returns False when the datagram was dropped because the tunnel is busy.
   * @throws ERR_MESSAGE_TOO_LARGE, ERR_CLOSED
   */
  send(payload: Uint8Array): boolean;
  /** Longest payload, in bytes. */
  maxPayload(): number;
  close(): void;
}

export class WorkspaceConnection implements AsyncDisposable {
  readonly #node: TailnetNode;
  readonly #coordination: Coordination;
  readonly #agentId: string;
  readonly #startedAt = performance.now();
  readonly #connectionId = nodeRandom.bytes(16);
  readonly #telemetry: WorkspaceConnectionOptions["telemetry"];
  readonly #sessionId: string | undefined;
  readonly #firstPort: number | undefined;
  /** Dialled in advance, for the first {@link dial} of that port. */
  #ahead: { readonly port: number; readonly stream: Promise<TcpStream> } | undefined;
  #setupMs: number | undefined;
  #telemetryTimer: NodeJS.Timeout | undefined;
  #path: Path | undefined;
  readonly #access = new AbortController();

  /**
   * Connects to the agent with this id and waits until it answers inside the tunnel. When the time is up, rejects with
   * ERR_AGENT_UNREACHABLE, which names the stage that was not passed.
   * @internal
   */
  static async open(options: WorkspaceConnectionOptions & AttemptOptions): Promise<WorkspaceConnection> {
    const attempt = new Attempt(options);
    let connection: WorkspaceConnection | undefined;
    try {
      attempt.enter({ kind: "tunnel", waitingFor: "control plane" });
      connection = new WorkspaceConnection(await openTunnel(options, attempt.signal), options);
      await connection.establish(attempt);
      return connection;
    } catch (error) {
      await connection?.close();
      throw attempt.failure(error, undefined, connection?.describeTrouble());
    }
  }

  /** @param tunnel Owned from now on. @internal */
  constructor(tunnel: Tunnel, options: WorkspaceConnectionOptions) {
    const { node } = tunnel;
    const { agentId, deployment, logger } = options;
    tunnel.destination = agentId;
    this.#node = node;
    this.#agentId = agentId;
    this.#firstPort = options.firstPort;
    this.#telemetry = options.telemetry;
    this.#sessionId = deployment.sessionId;
    this.#coordination = new Coordination({
      deployment,
      agentId,
      node,
      path: options.coordinatePath,
      onDoubt: options.onAccessDoubted,
      onRefused: async (refusal) => this.#setupMs !== undefined && (await this.#checkAccess(refusal)),
      logger,
    });
    node.on((event) => {
      if (event.kind !== "path-changed" || event.id !== agentId) return;
      this.#path = event.path;
      this.#reportSoon();
    });
  }

  /**
   * Waits until the agent answers inside the tunnel. Rejects with the signal's reason, or the reason why the agent cannot be
   * reached. @internal
   */
  async establish(attempt: Attempt): Promise<void> {
    const enter = (waitingFor: TunnelWait): void => attempt.enter({ kind: "tunnel", waitingFor });
    await this.#establish(enter, attempt.signal);
    this.#setupMs = performance.now() - this.#startedAt;
    this.#reportSoon();
  }

  /**
   * Aborts with ERR_ACCESS_ENDED when the connection must end: the login was revoked, its user suspended or the workspace
   * deleted. Its streams end with it. A lost control connection or an expired token alone ends nothing.
   */
  get accessSignal(): AbortSignal {
    return this.#access.signal;
  }

  /**
   * Resolves once the deployment has a control connection for this one, which confirms the access. If it refuses, {@link
   * accessSignal} aborts instead.
   */
  coordinated(): Promise<void> {
    return this.#coordination.whenConnected();
  }

  /** Opens a TCP connection to a port of the workspace. */
  async dial(
    port: number,
    options: TcpOptions & { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<TcpStream> {
    const ahead = this.#ahead;
    if (ahead?.port === port) {
      this.#ahead = undefined;
      const stream = await this.#dialledAhead(ahead.stream, options.signal);
      // A dial that failed or was reset may have been too early, so it is repeated.
      if (stream?.destroyed === false) return stream;
    }
    return connectTunnelTcp(this.#node.driver, { address: ip(agentAddress(this.#agentId)), port }, options);
  }

  /** Like the global fetch, to a program in the workspace that serves plain HTTP on the port. Does not follow redirects. */
  async fetch(port: number, path: string, init: RequestInit = {}): Promise<Response> {
    return fetchOver(await this.dial(port, { signal: init.signal ?? undefined }), port, path, init);
  }

  /**
   * Opens a UDP flow from a free port of this end to one port of the workspace. Nothing is sent before the first datagram, and
   * only `onUnreachable` shows that nothing listens there.
   */
  openUdp(port: number, handler: WorkspaceUdpHandler): WorkspaceUdp {
    const to = { address: ip(agentAddress(this.#agentId)), port };
    const socket = bindTunnelUdp(this.#node.driver, 0, {
      onMessage: (payload, from) => {
        if (from.port === port) handler.onMessage(payload);
      },
      onUnreachable: () => handler.onUnreachable?.(),
    });
    return {
      send: (payload) => socket.send(payload, to),
      maxPayload: () => socket.maxPayload(to),
      close: () => socket.close(),
    };
  }

  /** Round trip to the agent inside the tunnel, in ms. */
  async ping(options: { readonly signal: AbortSignal }): Promise<number> {
    return pingTunnel(this.#node.driver, "tsmp", ip(agentAddress(this.#agentId)), options);
  }

  /**
   * One disco ping, sent through the relay and over the best direct path or all candidates; the first pong wins. Rejects with
   * `signal.reason`, or ERR_NO_PEER while the agent is not known.
   */
  async discoPing(options: { readonly signal: AbortSignal }): Promise<DiscoPong> {
    return this.#node.discoPing(this.#agentId, options);
  }

  /**
   * A short series of probes on the direct path only, or to the address where the agent last answered. None are sent while there
   * is no such path.
   */
  async sampleDirect(options: {
    readonly count: number;
    readonly everyMs: number;
    readonly waitMs: number;
    readonly signal: AbortSignal;
  }): Promise<DirectSample> {
    return this.#node.sampleDirect(this.#agentId, options);
  }

  /** Observes every IP packet inside the tunnel, in both directions, while the connection lasts; one listener at a time. */
  tapPackets(tap: PacketTap): void {
    this.#node.driver.engine.packetTap = tap;
  }

  /** The path that traffic takes now. */
  get path(): PathRef | undefined {
    return this.#node.pathRef(this.#path);
  }

  /** Everything known about the paths to the agent now. */
  pathReport(): PeerPathReport {
    return this.#node.pathReport(this.#agentId);
  }

  /** What this machine has found out about its own network; undefined before the first report. */
  netReport(): NetReport | undefined {
    return this.#node.netReport;
  }

  /** The relay map in use. */
  get derpMap(): DerpMap | undefined {
    return this.#node.derpMap;
  }

  /** Calls back when the path to the agent changes. Returns a function that removes the listener. */
  onPathChange(listener: (path: PathRef | undefined) => void): () => void {
    return this.#node.on((event) => {
      if (event.kind === "path-changed" && event.id === this.#agentId) listener(this.#node.pathRef(event.path));
    });
  }

  /** Reports path changes, relay states, handshakes and wake-ups. Returns a function that removes the listener. */
  on(listener: (event: TailnetNodeEvent) => void): () => void {
    return this.#node.on(listener);
  }

  /** The path in one line, for people. */
  describePath(): string {
    const { path } = this;
    if (path === undefined) return "no path to the workspace";
    return path.kind === "direct" ? `direct, ${path.endpoint}` : `relayed through "${path.region.name}"`;
  }

  /** What is known to be wrong, for an error message; undefined when nothing is. */
  describeTrouble(): string | undefined {
    return this.#coordination.lastError?.message ?? this.#node.driver.relays.homeError?.message;
  }

  /** Sends a disconnect message, which takes at most a second, and closes everything. */
  async close(): Promise<void> {
    clearTimeout(this.#telemetryTimer);
    // Sent before the disconnect message on the same connection, without waiting for the answer.
    if (this.#setupMs !== undefined) void this.#report("disconnected");
    await this.#coordination.close();
    await this.#node.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Resolves with true when the refusal ends this connection. */
  async #checkAccess(refusal: ClientError): Promise<boolean> {
    const reason = await accessEnd(refusal, (options) => this.ping(options));
    if (reason === undefined) return false;
    this.#access.abort(reason);
    this.#node.driver.abortConnections([{ address: ip(agentAddress(this.#agentId)), bits: ADDRESS_BITS }]);
    return true;
  }

  /**
   * Paths change in bursts, so the state a moment after the first change is reported. Further changes do not delay the report.
   */
  #reportSoon(): void {
    if (this.#telemetry === undefined || this.#setupMs === undefined || this.#telemetryTimer !== undefined) return;
    this.#telemetryTimer = setTimeout(() => {
      this.#telemetryTimer = undefined;
      void this.#report("connected");
    }, TELEMETRY_DELAY_MS);
    this.#telemetryTimer.unref();
  }

  async #report(status: "connected" | "disconnected"): Promise<void> {
    if (this.#telemetry === undefined) return;
    const event = telemetryEvent(this.pathReport(), {
      ...this.#telemetry,
      sessionId: this.#sessionId,
      connectionId: this.#connectionId,
      nodeIdSelf: this.#node.nodeId,
      nodeIdRemote: this.#node.peerNode(this.#agentId)?.id ?? 0n,
      connectedForMs: performance.now() - this.#startedAt,
      setupMs: this.#setupMs,
      status,
      atUnixMs: Date.now(),
    });
    await this.#coordination.report(event);
  }

  async #establish(enter: (waitingFor: TunnelWait) => void, signal: AbortSignal): Promise<void> {
    this.#coordination.start();
    const failed = this.#coordination.failed;
    const { driver } = this.#node;
    const relayReady = (): boolean => driver.relays.homeState === "ready";
    const programmed = (): boolean => this.#node.isProgrammed(this.#agentId);
    // The tunnel may have been begun long before, and its relay may have refused us because the coordinator did not know us yet.
    driver.networkChanged();
    enter("relay");
    await this.#until(() => relayReady() || programmed(), failed, signal);
    if (!programmed()) enter("agent");
    await this.#until(programmed, failed, signal);
    if (!relayReady()) enter("relay");
    // With a direct path there is no need to wait for a relay.
    await this.#until(() => relayReady() || this.#path?.kind === "udp", failed, signal);
    enter("handshake");
    if (this.#firstPort !== undefined) {
      this.#ahead = { port: this.#firstPort, stream: this.dial(this.#firstPort) };
      this.#ahead.stream.catch(() => undefined); // awaited by dial()
    }
    await this.#reach(enter, failed, signal);
  }

  /** Waits for a condition that only events can make true. */
  async #until(condition: () => boolean, failed: Promise<never>, signal: AbortSignal): Promise<void> {
    if (condition()) return;
    await abortable<void>(signal, (resolve, reject) => {
      failed.catch(reject);
      return this.#node.on(() => {
        if (condition()) resolve();
      });
    });
  }

  /** Pings until one is answered. Several may be pending; the first answer to any of them counts. */
  async #reach(enter: (waitingFor: TunnelWait) => void, failed: Promise<never>, signal: AbortSignal): Promise<void> {
    const stop = this.#node.on((event) => {
      if (event.kind === "session-established" && event.id === this.#agentId) enter("reachability");
    });
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    const answered = Promise.withResolvers<void>();
    let wait = PING_FIRST_WAIT_MS;
    let timer: NodeJS.Timeout | undefined;
    const send = (): void => {
      this.ping({ signal: both }).then(
        () => answered.resolve(),
        (error: unknown) => {
          if (signal.aborted) answered.reject(signal.reason);
          else if (!over.signal.aborted && !(error instanceof EngineError && error.retryable)) answered.reject(error);
        },
      );
      timer = setTimeout(send, wait);
      wait = Math.min(PING_MAX_WAIT_MS, wait * 1.5);
    };
    try {
      send();
      await Promise.race([answered.promise, failed]);
    } finally {
      stop();
      clearTimeout(timer);
      over.abort();
    }
  }

  /** Undefined when that dial failed. When the signal aborts, rejects with `signal.reason` and ends the stream. */
  async #dialledAhead(ahead: Promise<TcpStream>, signal: AbortSignal | undefined): Promise<TcpStream | undefined> {
    try {
      return await orAborted(
        ahead.catch(() => undefined),
        signal,
      );
    } catch (error) {
      void ahead.then((stream) => stream.destroy()).catch(() => undefined); // failed: there is nothing to end
      throw error;
    }
  }
}
