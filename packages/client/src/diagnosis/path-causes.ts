/** What is wrong with a working path: a direct path that loses packets, lags or dies, or a slow relay. Pure. */
import type { DirectSample, PathFailureReport, PeerPathReport, RelayChoice } from "../node/path-report.ts";
import { formatDuration } from "./durations.ts";
import type { Cause, Facts } from "./facts.ts";

const HIGH_LOSS = 0.05;
const LOSS_FIX = "look for a weak wireless link, an overloaded line or a limit on UDP on the way";
const HIGH_RELAY_RTT_MS = 300;
/** With fewer probes nothing is concluded about loss. */
const MIN_SAMPLE = 10;
/** States of an address that carries traffic, or could. */
const USED: readonly string[] = ["in-use", "worse-than-relay", "held-off"];
/** A single death is not a cause. */
const MIN_FAILURES = 2;
/** If this many probes at the end of a sample are unanswered, after hardly any before, the path died rather than lost packets. */
const MIN_SILENT_PROBES = 10;
const MAX_LOSS_BEFORE_END = 0.2;
/**
 * A path that lost this share of probes over its lives falls silent by chance; one whose flow is cut loses almost nothing before.
 */
const HIGH_LOSS_IN_LIFE = 0.1;

export function directPathCauses(facts: Facts): Cause[] {
  const { report } = facts;
  const lossy = loss(facts);
  return [
    ...lossy,
    ...choice(report, lossy.length > 0),
    // A path with heavy loss also falls silent by chance; then the loss is the cause.
    ...(lossy.length > 0 ? [] : dying(facts)),
  ];
}

/** Measured by the sample on the direct path if there is one, otherwise by the heartbeats. */
function loss({ report, sample }: Facts): Cause[] {
  const candidate = report.candidates.find(({ state }) => USED.includes(state));
  // Silence is not loss.
  const usable = sample !== undefined && sample.sent >= MIN_SAMPLE && sample.answered > 0 && !diedInSample(sample);
  const measured = usable ? sample : undefined;
  const share = Math.max(
    measured === undefined ? 0 : 1 - measured.answered / measured.sent,
    candidate?.loss ?? 0,
    report.relayChoice?.reason === "loss" ? (report.relayChoice.resent ?? 0) : 0,
  );
  if (share <= HIGH_LOSS) return [];
  const evidence: string[] = [];
  const endpoint = candidate?.endpoint ?? "the direct path";
  if (measured !== undefined)
    evidence.push(`${endpoint}: ${measured.answered} of ${measured.sent} probes in a row answered`);
  if (candidate?.loss !== undefined)
    evidence.push(`${endpoint}: ${percent(candidate.loss)} of the last heartbeats lost`);
  if (report.relayChoice?.resent !== undefined)
    evidence.push(`TCP had to send ${percent(report.relayChoice.resent)} of its segments again`);
  return [
    slows("loss", "network between", {
      what: `The direct path loses ${percent(share)} of the packets${relayedInstead(report)}.`,
      evidence,
      fix: LOSS_FIX,
    }),
  ];
}

function choice(report: PeerPathReport, lossKnown: boolean): Cause[] {
  const chosen = report.relayChoice;
  if (chosen === undefined) return [];
  const times = `direct ${formatDuration(chosen.directRttMs)}, by relay ${formatDuration(chosen.relayRttMs)} there and back`;
  if (chosen.reason === "latency")
    return [
      slows("slow-direct-path", "network between", {
        what: "The direct path is much slower than the relay, so traffic takes the relay.",
        evidence: [times],
        fix: "find out which detour the direct packets take: a VPN, or a provider that routes UDP another way",
      }),
    ];
  if (chosen.reason === "rate")
    return [
      slows("policed", "network between", {
        what: "The direct path carries much less than the relay, so traffic takes the relay.",
        evidence: [...rates(chosen), times],
        fix: "ask the network operator whether UDP is limited in rate on the way",
      }),
    ];
  if (lossKnown) return [];
  return [
    slows("loss", "network between", {
      what: "The direct path lost so many packets that traffic takes the relay.",
      evidence: [...rates(chosen), times],
      fix: LOSS_FIX,
    }),
  ];
}

function rates({ directBitsPerSecond, relayBitsPerSecond, resent }: RelayChoice): string[] {
  const lines: string[] = [];
  if (directBitsPerSecond !== undefined && relayBitsPerSecond !== undefined)
    lines.push(`under load ${megabits(directBitsPerSecond)} directly, ${megabits(relayBitsPerSecond)} by relay`);
  if (resent !== undefined) lines.push(`TCP had to send ${percent(resent)} of its segments again on the direct path`);
  return lines;
}

/** Whether the path fell silent for good while it was sampled. */
export function diedInSample({ sent, answered, silentAtEnd }: DirectSample): boolean {
  const before = sent - silentAtEnd;
  return silentAtEnd >= MIN_SILENT_PROBES && answered > 0 && answered >= before * (1 - MAX_LOSS_BEFORE_END);
}

/**
 * As either end saw it: a short connection rarely sees a path die more than once, but the workspace may have seen it on others.
 */
function dying({ report, agentView, sample }: Facts): Cause[] {
  const known = report.candidates.find(({ failures }) => (failures?.count ?? 0) >= MIN_FAILURES);
  if (known !== undefined) return [keepsDying(known.failures!, `${known.endpoint}: silent`, "the workspace")];
  const theirs = agentView?.failures;
  // Without a loss figure, too few probes were sent to exclude loss.
  if (theirs?.loss !== undefined && theirs.count >= MIN_FAILURES)
    return [keepsDying(theirs, "seen from the workspace: this network silent", "this machine, or another one here,")];
  if (sample === undefined || !diedInSample(sample)) return [];
  return [
    slows("path-died", "network between", {
      what: "The direct path fell silent while it was measured.",
      evidence: [`${sample.answered} probes answered, then ${sample.silentAtEnd} in a row unanswered`],
      fix: "run this again; if it goes the same way, a firewall on the way ends UDP flows after so many packets",
    }),
  ];
}

function keepsDying(failures: PathFailureReport, where: string, who: string): Cause {
  const { count, lifeMs, heldForMs } = failures;
  const seconds = Math.max(1, Math.round(lifeMs / 1000));
  const held = heldForMs > 0 ? `, left alone for another ${Math.ceil(heldForMs / 1000)} s` : "";
  if (failures.loss !== undefined && failures.loss > HIGH_LOSS_IN_LIFE)
    return slows("loss", "network between", {
      what: `The direct path loses ${percent(failures.loss)} of the packets, so many that it falls silent again and again.`,
      evidence: [
        `${percent(failures.loss)} of the probes had no answer while it lived`,
        `${where} ${count} times in a row while ${who} answered by relay${held}`,
      ],
      fix: LOSS_FIX,
    });
  return slows("path-keeps-dying", "network between", {
    what: `The direct path keeps dying after about ${seconds} s: a firewall ends the flow.`,
    evidence: [`${where} ${count} times in a row while ${who} answered by relay${held}`],
    fix: "let the firewalls on both sides keep UDP flows (no limit on packets or age of a flow)",
  });
}

export function relayCauses({ report }: Facts): Cause[] {
  const { path, relayRttMs } = report;
  if (path?.kind !== "relayed" || relayRttMs === undefined || relayRttMs <= HIGH_RELAY_RTT_MS) return [];
  return [
    slows("slow-relay", "administrator", {
      what: `The way through relay "${path.region.name}" takes ${Math.round(relayRttMs)} ms.`,
      evidence: [
        `our home relay: ${report.ownRegion?.name ?? "none"}, the workspace's: ${report.peerRegion?.name ?? "none"}`,
      ],
      fix: "try another one with --region, or have a relay set up nearer to both ends",
    }),
  ];
}

function slows(code: string, side: Cause["side"], texts: Pick<Cause, "what" | "evidence" | "fix">): Cause {
  return { code, side, scope: "general", severity: "slows", ...texts, link: `coder help ${code}` };
}

function relayedInstead({ relayChoice }: PeerPathReport): string {
  return relayChoice === undefined ? "" : ", so traffic takes the relay";
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function megabits(bitsPerSecond: number): string {
  return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
}
