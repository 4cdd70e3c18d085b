import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import { DrpcError, implement, type RpcServiceImpl } from "coder-protocol/drpc/async";
import {
  type CoordinateRequest,
  type CoordinateRequest_LostPeer,
  Tailnet,
  type TelemetryEvent,
} from "coder-protocol/gen/tailnet_pb.js";
import { derpMapToProto } from "coder-protocol/tailnet/derp-map";
import type { DerpMap } from "wg-userspace/derp/map";
import type { Coordinator } from "./coordinator.ts";
import type { PeerAuth } from "./peer-auth.ts";
import type { PeerSink } from "./peer-state.ts";
import type { ResumeHolder, ResumeTokens } from "./resume-token.ts";
import type { WorkspaceUpdates } from "./workspace-updates.ts";

/** A peer that leaves this many answers unread is disconnected. */
const MAX_WAITING_RESPONSES = 512;

export interface TailnetPeer {
  readonly id: string;
  readonly auth: PeerAuth;
  /** The holder to which its resume tokens are bound. */
  readonly resume: ResumeHolder;
  /** Whether the peer may follow that user's workspaces; absent: none. */
  readonly mayFollow?: (ownerId: string) => boolean;
}

export interface TailnetServiceDeps {
  readonly coordinator: Coordinator;
  readonly resumeTokens: ResumeTokens;
  readonly now: () => number;
  readonly relayMap: () => DerpMap;
  /** Calls back whenever the relay map has changed. Returns a function that removes the listener. */
  readonly onRelayMapChange: (listener: () => void) => () => void;
  readonly workspaceUpdates: WorkspaceUpdates;
  /** Whether the underlying connection ended like that of a killed process. */
  readonly endedByClose: () => boolean;
  /**
   * Takes the lost peers that this one states, over a stream, to have a tunnel with. @param over Aborted when the stream ends.
   */
  readonly lostPeersOf: (peerId: string, over: AbortSignal) => (lost: readonly CoordinateRequest_LostPeer[]) => void;
  readonly onTelemetry: (peerId: string, events: readonly TelemetryEvent[]) => void;
}

/** The Tailnet service as one connected peer sees it. */
export function tailnetService(peer: TailnetPeer, deps: TailnetServiceDeps): RpcServiceImpl {
  return implement(Tailnet, {
    postTelemetry: (request) => {
      deps.onTelemetry(peer.id, request.events);
      return {};
    },

    refreshResumeToken: () => {
      const issued = deps.resumeTokens.issue(peer.id, peer.resume, deps.now());
      return {
        token: issued.token,
        refreshIn: durationFromMs(issued.refreshInMs),
        expiresAt: timestampFromMs(issued.expiresAtMs),
        peerId: uuidToBytes(peer.id),
      };
    },

    streamDERPMaps: async (_request, context) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const send = (): void => {
        context.send(derpMapToProto(deps.relayMap()));
      };
      const stop = deps.onRelayMapChange(send);
      context.onCancel(resolve);
      send();
      await promise;
      stop();
    },

    workspaceUpdates: async (request, context) => {
      const ownerId = uuidFromBytes(request.workspaceOwnerId);
      if (ownerId === undefined) throw new DrpcError(0, "workspace_owner_id has to be a UUID of 16 bytes");
      if (peer.mayFollow?.(ownerId) !== true) throw new DrpcError(0, "authorization: those workspaces are not yours");
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const stop = deps.workspaceUpdates.follow(ownerId, {
        send: async (update) => {
          if (!context.send(update)) await context.drained();
        },
        failed: reject,
      });
      context.onCancel(resolve);
      try {
        await promise;
      } finally {
        stop();
      }
    },

    coordinate: async (requests, context) => {
      const { promise: ended, resolve } = Promise.withResolvers<void>();
      let waiting = 0;
      const sink: PeerSink = {
        send: (response) => {
          if (context.send(response) || context.cancelled) return true;
          if (waiting++ === 0) {
            void context.drained().then(() => {
              waiting = 0;
            });
          }
          return waiting < MAX_WAITING_RESPONSES;
        },
        end: resolve,
      };
      context.onCancel(resolve);
      const authorised = await stillAuthorised(peer, deps.coordinator);
      if (context.cancelled) return;
      const handle = deps.coordinator.connect(peer.id, peer.auth, sink, deps.now(), authorised);
      const over = new AbortController();
      const onLostPeers = deps.lostPeersOf(peer.id, over.signal);
      const reading = (async (): Promise<void> => {
        for await (const request of requests as AsyncIterable<CoordinateRequest>) {
          const destination = request.addTunnel === undefined ? undefined : uuidFromBytes(request.addTunnel.id);
          if (destination !== undefined) await peer.auth.beforeTunnel?.(destination);
          handle.handle(request, deps.now());
          if (destination !== undefined) peer.auth.afterTunnel?.(destination);
          if (request.lostPeers.length > 0) onLostPeers(request.lostPeers);
        }
        resolve();
      })();
      try {
        await Promise.race([ended, reading]);
      } finally {
        over.abort();
        handle.lost(deps.now(), deps.endedByClose());
        reading.catch(() => undefined); // the caller is gone, and `lost` has reported it
      }
    },
  });
}

/** The tunnels of an earlier connection under this id that this one may keep. */
async function stillAuthorised(peer: TailnetPeer, coordinator: Coordinator): Promise<Set<string>> {
  const authorised = new Set<string>();
  for (const to of coordinator.tunnelsOf(peer.id)) {
    await peer.auth.beforeTunnel?.(to);
    if (peer.auth.checkTunnel(to) === undefined) authorised.add(to);
  }
  return authorised;
}
