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

/** First wait for an answer to a reachability ping; grows, as several are in flight. */
const PING_FIRST_WAIT_MS = 250;
const PING_MAX_WAIT_MS = 5_000;
/** A path that changed is reported after this, unless it changes again. */
const TELEMETRY_DELAY_MS = 1_000;
const ADDRESS_BITS = 128;

/** What is chosen about one connection. */
export interface ConnectionChoices {
  /** The port that will be dialled first: its SYN leaves with the handshake, without waiting for the agent's first answer. */
  readonly firstPort?: number | undefined;
  /** How the quality of the connection is reported to the control plane; absent: not at all. */
  readonly telemetry?: { readonly application: string; readonly clientVersion: string } | undefined;
}

export interface WorkspaceConnectionOptions extends TunnelOptions, ConnectionChoices {
  readonly agentId: string;
  /** Where the Tailnet service is for these credentials; absent: where users have it. @internal */
  readonly coordinatePath?: string | undefined;
  /** A control connection ended: the access may have ended with it. @internal */
  readonly onCoordinationEnded?: (() => void) | undefined;
}

export interface WorkspaceUdpHandler {
  /** @param payload Borrowed: it is overwritten once the call returns. */
  onMessage(payload: Uint8Array): void;
  /** Nothing listens on the workspace's port. */
  onUnreachable?(): void;
}

export interface WorkspaceUdp {
  /** @param payload Borrowed for the call. False: dropped, the tunnel is busy. Throws ERR_MESSAGE_TOO_LARGE, ERR_CLOSED. */
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
  /** Dialled ahead, for the first {@link dial} of that port. */
  #ahead: { readonly port: number; readonly stream: Promise<TcpStream> } | undefined;
  #setupMs: number | undefined;
  #telemetryTimer: NodeJS.Timeout | undefined;
  #path: Path | undefined;
  readonly #access = new AbortController();

  /**
   * Connects to an agent that is known by its id, and waits until it answers inside the tunnel. Rejects with
   * ERR_AGENT_UNREACHABLE naming the stage that was not passed when the time is up.
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
      onEnded: options.onCoordinationEnded,
      onRefused: async (refusal) => this.#setupMs !== undefined && (await this.#checkAccess(refusal)),
      logger,
    });
    node.on((event) => {
      if (event.kind !== "path-changed" || event.id !== agentId) return;
      this.#path = event.path;
      this.#reportSoon();
    });
  }

  /** Waits until the agent answers inside the tunnel. Rejects with the signal's reason, or why it cannot be reached. @internal */
  async establish(attempt: Attempt): Promise<void> {
    const enter = (waitingFor: TunnelWait): void => attempt.enter({ kind: "tunnel", waitingFor });
    await this.#establish(enter, attempt.signal);
    this.#setupMs = performance.now() - this.#startedAt;
    this.#reportSoon();
  }

  /**
   * Aborts with ERR_ACCESS_ENDED when the connection can never go on: the login was revoked, its user suspended or the
   * workspace deleted. Its streams end with it. Losing the control connection alone, or a token that expires, ends nothing.
   */
  get accessSignal(): AbortSignal {
    return this.#access.signal;
  }

  /**
   * Resolves when the deployment holds a control connection for this one, so that the access is known to stand. When it
   * does not, {@link accessSignal} is aborted instead.
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
      // One that failed or was reset may have been too early: what a dial finds now is what counts.
      if (stream?.destroyed === false) return stream;
    }
    return connectTunnelTcp(this.#node.driver, { address: ip(agentAddress(this.#agentId)), port }, options);
  }

  /** As the global fetch, to a program of the workspace that speaks plain HTTP on that port. Follows no redirects. */
  async fetch(port: number, path: string, init: RequestInit = {}): Promise<Response> {
    return fetchOver(await this.dial(port, { signal: init.signal ?? undefined }), port, path, init);
  }

  /**
   * Opens a UDP port towards one port of the workspace, from a free port of this end. Nothing is sent before the first
   * datagram, and only `onUnreachable` tells whether something listens there.
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
   * One disco ping: sent through the relay and over the best direct path, or all candidates; the first pong wins. Rejects
   * with `signal.reason`, or ERR_NO_PEER while the agent is not known.
   */
  async discoPing(options: { readonly signal: AbortSignal }): Promise<DiscoPong> {
    return this.#node.discoPing(this.#agentId, options);
  }

  /** A short series of probes on the direct path alone, or where the agent answered last; none are sent while there is no such path. */
  async sampleDirect(options: {
    readonly count: number;
    readonly everyMs: number;
    readonly waitMs: number;
    readonly signal: AbortSignal;
  }): Promise<DirectSample> {
    return this.#node.sampleDirect(this.#agentId, options);
  }

  /** Hears every IP packet inside the tunnel, in and out, while it lasts; one listener at a time. */
  tapPackets(tap: PacketTap): void {
    this.#node.driver.engine.packetTap = tap;
  }

  /** How traffic travels now. */
  get path(): PathRef | undefined {
    return this.#node.pathRef(this.#path);
  }

  /** Everything known about the way to the agent now. */
  pathReport(): PeerPathReport {
    return this.#node.pathReport(this.#agentId);
  }

  /** What this machine found out about its own network; undefined before the first report. */
  netReport(): NetReport | undefined {
    return this.#node.netReport;
  }

  /** The relay map in use. */
  get derpMap(): DerpMap | undefined {
    return this.#node.derpMap;
  }

  /** Calls back when the path to the agent changes. Returns the way to stop that. */
  onPathChange(listener: (path: PathRef | undefined) => void): () => void {
    return this.#node.on((event) => {
      if (event.kind === "path-changed" && event.id === this.#agentId) listener(this.#node.pathRef(event.path));
    });
  }

  /** Path changes, relay states, handshakes, wake-ups. Returns the way to stop listening. */
  on(listener: (event: TailnetNodeEvent) => void): () => void {
    return this.#node.on(listener);
  }

  /** One line for people: the path by its name. */
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
    // Sent before the goodbye on the same connection; its answer is not waited for.
    if (this.#setupMs !== undefined) void this.#report("disconnected");
    await this.#coordination.close();
    await this.#node.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** True when the refusal is the end of this connection. */
  async #checkAccess(refusal: ClientError): Promise<boolean> {
    const reason = await accessEnd(refusal, (options) => this.ping(options));
    if (reason === undefined) return false;
    this.#access.abort(reason);
    this.#node.driver.abortConnections([{ address: ip(agentAddress(this.#agentId)), bits: ADDRESS_BITS }]);
    return true;
  }

  /** Paths change in bursts: the state a moment after the first change is reported. Further changes do not delay it. */
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
    // The tunnel may have been begun long before, and its relay may have refused us while the coordinator did not know us.
    driver.networkChanged();
    enter("relay");
    await this.#until(() => relayReady() || programmed(), failed, signal);
    if (!programmed()) enter("agent");
    await this.#until(programmed, failed, signal);
    if (!relayReady()) enter("relay");
    // Where a direct path was found, nothing waits for a relay.
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

  /** Pings until one is answered. Several may be in flight: the first answer to any of them counts. */
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

  /** Undefined when that dial failed. Rejects with `signal.reason`, and then ends the stream. */
  async #dialledAhead(ahead: Promise<TcpStream>, signal: AbortSignal | undefined): Promise<TcpStream | undefined> {
    try {
      return await orAborted(
        ahead.catch(() => undefined),
        signal,
      );
    } catch (error) {
      void ahead.then((stream) => stream.destroy()).catch(() => undefined); // failed: nothing to end
      throw error;
    }
  }
}
