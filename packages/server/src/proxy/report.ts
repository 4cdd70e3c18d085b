/**
 * What a workspace proxy reports about itself at `/healthz-report`. Errors remove its region from the map. Anyone may read the
 * report, so it names no host; the log has the details, and each registration sends those about siblings to the primary. Pure.
 */

import type { ProxyHealthReport } from "coder-protocol/rest/workspace-proxies";
import { minorVersion } from "../base/minor-version.ts";
import type { AdmissionState } from "./relay-keys.ts";

/** The number of other processes of this proxy, and of those to which the link fails. */
export interface SiblingCounts {
  readonly all: number;
  readonly failed: number;
}

export interface ProxyFacts {
  readonly version: string;
  /** Undefined until the primary has answered. */
  readonly primaryVersion: string | undefined;
  readonly registered: boolean;
  /** The failure of registering, while it lasts. */
  readonly failure: { readonly why: string; readonly forMs: number } | undefined;
  /** How long the primary has refused the token; undefined if it does not. */
  readonly refusedForMs: number | undefined;
  /** Undefined without a relay. */
  readonly admission: AdmissionState | undefined;
  /** Why there is no stream of relay keys; undefined if there is one. */
  readonly streamProblem: string | undefined;
  readonly siblings: SiblingCounts;
  /** Why requesting keys for app tokens failed; undefined if it did not. */
  readonly appKeysProblem: string | undefined;
  /** How far the clock is ahead of the primary's; undefined if nothing depends on it, or the primary does not state its time. */
  readonly clockAheadMs: number | undefined;
}

/** Half of the tolerance for app tokens. */
const MAX_CLOCK_DIFFERENCE_MS = 30_000;

export function reportOf(facts: ProxyFacts): ProxyHealthReport {
  const { registered, failure, refusedForMs, admission, streamProblem, siblings } = facts;
  const errors: string[] = [];
  const warnings: string[] = [];
  if (refusedForMs !== undefined) {
    errors.push(
      `The primary has not accepted this proxy's token for ${seconds(refusedForMs)}: start the proxy with its new token.`,
    );
  } else if (!registered && failure !== undefined) {
    // Without a failure, the first registration is in progress: the primary may ask before its answer has arrived.
    errors.push(`The proxy is not registered with the primary: ${failure.why}.`);
  } else if (failure !== undefined) {
    warnings.push(`Registering with the primary has failed for ${seconds(failure.forMs)}: ${failure.why}.`);
  }
  if (admission === "frozen")
    errors.push(
      "The primary has not named the clients that may use this relay for 15 minutes: only those that are connected stay.",
    );
  else if (admission === "listed" && streamProblem !== undefined)
    warnings.push(
      `Clients that are new to the deployment are not admitted, as there is no stream of relay keys: ${streamProblem}.`,
    );
  if (admission === "open")
    warnings.push(
      "The primary does not name the clients that may use this relay: every client may. Update the primary.",
    );
  if (facts.appKeysProblem !== undefined)
    warnings.push(`No terminals are opened, as the primary gave no keys for their tokens: ${facts.appKeysProblem}.`);
  const { clockAheadMs = 0 } = facts;
  if (Math.abs(clockAheadMs) >= MAX_CLOCK_DIFFERENCE_MS)
    warnings.push(
      `This machine's clock is ${seconds(Math.abs(clockAheadMs))} ${clockAheadMs > 0 ? "ahead of" : "behind"} that of the primary: ` +
        "at a difference of one minute, no terminals and web apps open. Synchronize both clocks.",
    );
  if (facts.primaryVersion !== undefined && minorVersion(facts.primaryVersion) !== minorVersion(facts.version))
    warnings.push(`The versions differ: ${facts.primaryVersion} of the primary, ${facts.version} of the proxy.`);
  if (siblings.failed > 0)
    warnings.push(
      `${siblings.failed} of ${siblings.all} other processes of this proxy are not reached; the log names them.`,
    );
  return { errors, warnings };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
