/** Input and output of the diagnosis. */

import type { NetReport } from "wg-userspace/netcheck/report";
import type { DirectSample, PeerPathReport, PeerView } from "../node/path-report.ts";

export type Side = "this machine" | "workspace" | "network between" | "administrator";

export interface Cause {
  readonly code: string;
  /** Who must act. */
  readonly side: Side;
  /** The end at which it was found. */
  readonly scope: "general" | "client" | "agent";
  readonly severity: "blocks-direct" | "slows" | "note";
  /** One sentence. */
  readonly what: string;
  readonly evidence: readonly string[];
  /** What to change, one sentence. */
  readonly fix: string;
  /** Where it is explained. */
  readonly link: string;
}

export interface InterfaceFact {
  readonly name: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
}

export interface Facts {
  readonly report: PeerPathReport;
  readonly own: NetReport | undefined;
  readonly agent: NetReport | undefined;
  /** Why there is no report from the agent. */
  readonly agentMissing?: string | undefined;
  /** How the agent sees its paths to this machine; absent for a stock agent. */
  readonly agentView?: PeerView | undefined;
  readonly ownInterfaces: readonly InterfaceFact[];
  readonly agentInterfaces: readonly InterfaceFact[] | undefined;
  /** Whether the relay map names any STUN server. */
  readonly mapHasStun: boolean;
  /** How long the user lets one ping take, in ms; absent unless given. */
  readonly pingTimeoutMs?: number | undefined;
  /** Probes on the direct path only, if there is one. */
  readonly sample?: DirectSample | undefined;
  /** A prefix that this machine's network translates to IPv4 (NAT64, RFC 7050). */
  readonly nat64Prefix?: string | undefined;
}

/** States of an address that answers or once did. */
export const FOUND: readonly string[] = ["in-use", "worse-than-relay", "held-off"];
