/** States as a glyph and a word: never by colour alone. */
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { JSX } from "preact";
import type { AgentNetwork } from "../api/workspaces.ts";
import { milliseconds } from "../base/words.ts";

export type Tone = "ok" | "warn" | "bad" | "idle";

const GLYPHS: Readonly<Record<Tone, string>> = { ok: "●", warn: "◐", bad: "▲", idle: "○" };

export function State({ tone, children }: { readonly tone: Tone; readonly children: string }): JSX.Element {
  return (
    <span class={`state ${tone}`}>
      <span aria-hidden="true">{GLYPHS[tone]}</span> {children}
    </span>
  );
}

export function agentState(agent: WorkspaceAgent): { readonly tone: Tone; readonly text: string } {
  if (agent.status === "connecting") return { tone: "idle", text: "Waiting for the agent" };
  if (agent.status !== "connected") return { tone: "bad", text: "Offline" };
  switch (agent.lifecycle_state) {
    case "start_error":
      return { tone: "warn", text: "Startup script failed" };
    case "start_timeout":
      return { tone: "warn", text: "Startup is slow" };
    case "starting":
    case "created":
      return { tone: "warn", text: "Starting" };
    case "shutting_down":
      return { tone: "warn", text: "Shutting down" };
    default:
      return { tone: "ok", text: "Connected" };
  }
}

export type PathKind = "direct" | "relayed" | "mixed" | "none";

export function pathOf({ connections }: AgentNetwork): PathKind {
  if (connections.direct > 0 && connections.relayed > 0) return "mixed";
  if (connections.direct > 0) return "direct";
  return connections.relayed > 0 ? "relayed" : "none";
}

const PATH_WORDS: Readonly<Record<PathKind, string>> = {
  direct: "Direct",
  relayed: "Relayed",
  mixed: "Direct and relayed",
  none: "No clients",
};

/** How clients reach an agent: a line, a dashed line, both, none. */
export function PathBadge({ network }: { readonly network: AgentNetwork }): JSX.Element {
  const kind = pathOf(network);
  const latency = network.median_latency_ms;
  return (
    <span class={`path ${kind}`}>
      <svg class="path-glyph" viewBox="0 0 24 8" aria-hidden="true">
        {kind === "none" ? null : <line x1="3" x2="21" y1="4" y2="4" />}
        <circle cx="3" cy="4" r="2" />
        <circle cx="21" cy="4" r="2" />
      </svg>
      {PATH_WORDS[kind]}
      {latency === undefined || kind === "none" ? null : <span class="quiet"> {milliseconds(latency)}</span>}
    </span>
  );
}
