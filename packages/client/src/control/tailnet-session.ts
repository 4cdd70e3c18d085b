/**
 * The Tailnet service on one control connection: sends our node to the coordinator, and passes peer updates and relay maps to a
 * {@link CoordinatedNode}. Ends when either stream ends; the caller then redials.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import type { RpcDuplex, RpcReadable, RpcSession } from "coder-protocol/drpc/async";
import {
  type CoordinateRequestSchema,
  type CoordinateResponseSchema,
  type DERPMapSchema,
  Tailnet,
} from "coder-protocol/gen/tailnet_pb.js";
import { SESSION_ID_KEY, sessionIdOfReason } from "coder-protocol/session-id";
import { derpMapFromProto } from "coder-protocol/tailnet/derp-map";
import { MAX_LOST_PEERS, nodeToProto, peerUpdateFromProto } from "coder-protocol/tailnet/node";
import type { Logger } from "wg-userspace/base/ports";
import type { CoordinatedNode } from "../node/coordinated-node.ts";
import type { LostPeer } from "../node/peer-programming.ts";

/** How long the coordinator has to end the stream after our disconnect message. */
const GOODBYE_MS = 1_000;

const MAX_SESSIONS = 1_000;

export interface TailnetSessionOptions {
  readonly rpc: RpcSession;
  readonly node: CoordinatedNode;
  /** Agents to which we want tunnels; empty for an agent. */
  readonly destinations: readonly string[];
  /** Whether every programmed peer is answered with "ready", as agents do. */
  readonly announcesReady: boolean;
  readonly logger: Logger;
  readonly onUnusableMap?: (error: string) => void;
  /** Rights by which others use the tunnel to this agent may have ended. */
  readonly onDoubtedRights?: ((agentId: string) => void) | undefined;
}

export class TailnetSession {
  readonly #options: TailnetSessionOptions;
  readonly #coordinate: RpcDuplex<typeof CoordinateRequestSchema, typeof CoordinateResponseSchema>;
  readonly #maps: RpcReadable<typeof DERPMapSchema>;
  readonly #stopSelf: () => void;
  /** Client sessions already logged, by peer. */
  readonly #sessions = new Map<string, string>();
  #leaving = false;
  #isDismissed = false;

  constructor(options: TailnetSessionOptions) {
    this.#options = options;
    this.#coordinate = options.rpc.bidi(Tailnet.method.coordinate);
    this.#maps = options.rpc.serverStream(Tailnet.method.streamDERPMaps, {});
    for (const id of options.destinations) this.#send({ addTunnel: { id: uuidToBytes(id) } });
    this.#stopSelf = options.node.onSelfChanged(() => this.#updateSelf());
    this.#updateSelf();
    // A coordinator that has restarted knows none of the lost peers, and would not report the end of their rights.
    this.#stateLost(options.node.lostPeers());
  }

  /** Resolves when the coordinator ended the stream; rejects when the connection broke. */
  async run(): Promise<void> {
    try {
      await Promise.race([this.#readUpdates(), this.#readMaps()]);
    } finally {
      this.#stopSelf();
      this.#maps.cancel();
      this.#coordinate.cancel();
    }
  }

  /** The coordinator gave a reason for ending this peer's stream. */
  get isDismissed(): boolean {
    return this.#isDismissed;
  }

  /** Sends a disconnect message, and waits a little for the coordinator to end the stream. */
  async leave(): Promise<void> {
    this.#leaving = true;
    this.#stopSelf();
    this.#send({ disconnect: {} });
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, GOODBYE_MS);
    await Promise.race([promise, this.#options.rpc.closed, this.#coordinate.finished]);
    clearTimeout(timer);
  }

  async #readUpdates(): Promise<void> {
    for await (const response of this.#coordinate.messages) {
      if (response.error !== "") {
        this.#isDismissed = true;
        this.#options.logger.log("warn", "coordinator", { error: response.error });
      }
      for (const id of response.doubtedRights) {
        const agentId = uuidFromBytes(id);
        if (agentId !== undefined) this.#options.onDoubtedRights?.(agentId);
      }
      for (const { id, reason } of response.peerUpdates) this.#noteSession(uuidFromBytes(id), reason);
      const updates = response.peerUpdates.flatMap((update) => peerUpdateFromProto(update) ?? []);
      const programmed = this.#options.node.handlePeerUpdates(updates);
      if (this.#options.announcesReady && programmed.length > 0) {
        this.#send({ readyForHandshake: programmed.map((id) => ({ id: uuidToBytes(id) })) });
      }
      const lost = new Set(updates.flatMap(({ kind, id }) => (kind === "lost" ? [id] : [])));
      // The server to which they were connected may itself be lost, together with its knowledge about them.
      if (lost.size > 0) this.#stateLost(this.#options.node.lostPeers().filter(({ id }) => lost.has(id)));
    }
  }

  /** Logs once which client session a peer belongs to, as named by the control plane, so that the log can be searched for it. */
  #noteSession(peer: string | undefined, reason: string): void {
    const sessionId = sessionIdOfReason(reason);
    if (peer === undefined || sessionId === undefined || this.#sessions.get(peer) === sessionId) return;
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.clear();
    this.#sessions.set(peer, sessionId);
    this.#options.logger.log("info", "a client announced itself", { peer, [SESSION_ID_KEY]: sessionId });
  }

  async #readMaps(): Promise<void> {
    for await (const message of this.#maps.messages) {
      const parsed = derpMapFromProto(message);
      if ("error" in parsed) {
        this.#options.logger.log("warn", "relay map refused", { error: parsed.error });
        this.#options.onUnusableMap?.(parsed.error);
      } else this.#options.node.setDerpMap(parsed.map);
    }
  }

  #updateSelf(): void {
    const self = this.#options.node.self();
    if (self === undefined || this.#leaving) return;
    this.#send({ updateSelf: { node: nodeToProto(self) } });
    this.#options.node.selfSent();
  }

  #stateLost(peers: readonly LostPeer[]): void {
    for (let begin = 0; begin < peers.length; begin += MAX_LOST_PEERS) {
      const lostPeers = peers.slice(begin, begin + MAX_LOST_PEERS);
      this.#send({ lostPeers: lostPeers.map(({ id, right }) => ({ id: uuidToBytes(id), right })) });
    }
  }

  /** Updates are few and only the latest counts, so a slow control connection never queues them beyond its limit. */
  #send(request: MessageInitShape<typeof CoordinateRequestSchema>): void {
    this.#coordinate.send(request);
  }
}
