/**
 * What a client reports to the control plane about the quality of its connection: whether it is direct or relayed, how long that
 * took, and how fast it is. Of addresses only the class and a hash leave the machine.
 */
import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  IPFields_IPClass,
  TelemetryEvent_ClientType,
  TelemetryEvent_Status,
  type TelemetryEventSchema,
} from "coder-protocol/gen/tailnet_pb.js";
import { parseAddrPort } from "wg-userspace/base/ip";
import { addressClass } from "wg-userspace/magicsock/address-class";
import type { PeerPathReport } from "../node/path-report.ts";

export type TelemetryEventInit = MessageInitShape<typeof TelemetryEventSchema>;

export interface TelemetryContext {
  /** 16 bytes, the same for all events of one connection. */
  readonly connectionId: Uint8Array;
  readonly application: string;
  readonly clientVersion: string;
  readonly sessionId?: string | undefined;
  readonly nodeIdSelf: bigint;
  /** 0 while the peer's node is unknown. */
  readonly nodeIdRemote: bigint;
  readonly connectedForMs: number;
  /** From the start of the connection to the first answer through the tunnel. */
  readonly setupMs: number | undefined;
  readonly status: "connected" | "disconnected";
  readonly atUnixMs: number;
}

const CLASSES = {
  public: IPFields_IPClass.PUBLIC,
  private: IPFields_IPClass.PRIVATE,
  "link-local": IPFields_IPClass.LINK_LOCAL,
  loopback: IPFields_IPClass.LOOPBACK,
} as const;

/** Builds one event. Pure, except for the hash. */
export function telemetryEvent(report: PeerPathReport, context: TelemetryContext): TelemetryEventInit {
  const { path } = report;
  const inUse = report.candidates.find(({ state }) => state === "in-use");
  return {
    id: context.connectionId,
    time: timestampFromMs(context.atUnixMs),
    application: context.application,
    status: context.status === "connected" ? TelemetryEvent_Status.CONNECTED : TelemetryEvent_Status.DISCONNECTED,
    clientType: TelemetryEvent_ClientType.CLI,
    clientVersion: context.clientVersion,
    clientSessionId: new TextEncoder().encode(context.sessionId ?? ""),
    nodeIdSelf: context.nodeIdSelf,
    nodeIdRemote: context.nodeIdRemote,
    homeDerp: report.ownRegion?.id ?? 0,
    connectionAge: durationFromMs(Math.round(context.connectedForMs)),
    connectionSetup: durationOf(context.setupMs),
    p2pSetup: durationOf(report.timeToDirectMs),
    p2pEndpoint: path?.kind === "direct" ? endpointOf(path.endpoint) : undefined,
    p2pLatency: path?.kind === "direct" ? latencyOf(inUse?.rttMs) : undefined,
    derpLatency: path?.kind === "relayed" ? latencyOf(report.relayRttMs ?? 0) : undefined,
  };
}

function durationOf(ms: number | undefined): Duration | undefined {
  return ms === undefined ? undefined : durationFromMs(Math.round(ms));
}

/** Rounded up to at least 1 ms. */
function latencyOf(rttMs: number | undefined): Duration | undefined {
  return rttMs === undefined ? undefined : durationOf(Math.max(1, rttMs));
}

function endpointOf(text: string) {
  const at = parseAddrPort(text);
  if (at === undefined) return { hash: "", port: 0 };
  return {
    hash: createHash("sha256").update(at.address).digest("hex"),
    port: at.port,
    fields: { version: at.address.length === 4 ? 4 : 6, class: CLASSES[addressClass(at.address)] },
  };
}
