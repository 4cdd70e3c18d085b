import { useSignal } from "@preact/signals";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { milliseconds } from "../../base/words.ts";
import { useAgentNetwork } from "../../live/sources.ts";
import { State, type Tone } from "../../ui/state.tsx";
import { Reasons } from "../workspace/reasons.tsx";

/** A machine needs at most this long to download a program and start it; after that, help is offered. */
const SLOW_MS = 60_000;

/** Which steps of a new machine are done, and what to look at when one is missing. */
export function Checklist({ agent }: { readonly agent: WorkspaceAgent }): JSX.Element {
  const connected = agent.status === "connected";
  const slow = useElapsed(SLOW_MS, connected);
  return (
    <ol class="checklist" aria-live="polite">
      <Step
        tone={connected ? "ok" : slow ? "warn" : "idle"}
        title="The agent is connected"
        note={connected ? `version ${agent.version}` : "waiting; the command above starts it"}
      >
        {slow && !connected ? (
          <ul class="reasons">
            <li>Look at what the command printed on the machine: it names what failed, and what to change.</li>
            <li>
              The machine must reach <code>{location.origin}</code>: try <code>curl {location.origin}/healthz</code>{" "}
              there.
            </li>
            <li>Behind a proxy, set HTTPS_PROXY on the machine before the command.</li>
          </ul>
        ) : null}
      </Step>
      {connected ? (
        <NetworkSteps agentId={agent.id} />
      ) : (
        <Step tone="idle" title="It reaches a relay" note="measured when it is connected" />
      )}
      <Step {...scriptStep(agent, connected)} />
    </ol>
  );
}

/** True after this long, unless it is already over. */
function useElapsed(ms: number, over: boolean): boolean {
  const elapsed = useSignal(false);
  useEffect(() => {
    if (over) return;
    const timer = setTimeout(() => {
      elapsed.value = true;
    }, ms);
    return () => clearTimeout(timer);
  }, [over, ms, elapsed]);
  return elapsed.value;
}

function NetworkSteps({ agentId }: { readonly agentId: string }): JSX.Element {
  const network = useAgentNetwork(agentId).data.value;
  const home = network?.home ?? null;
  const { direct, relayed } = network?.connections ?? { direct: 0, relayed: 0 };
  const latency = home?.latency_ms === undefined ? "" : `, ${milliseconds(home.latency_ms)}`;
  return (
    <>
      {home === null ? (
        <Step tone="idle" title="It reaches a relay" note="measuring; this takes a few seconds" />
      ) : (
        <Step tone="ok" title="It reaches a relay" note={`${home.region_name}${latency}`} />
      )}
      {direct > 0 ? (
        <Step tone="ok" title="A direct path" note="a client reaches it without a relay" />
      ) : (
        <Step
          tone={relayed > 0 ? "warn" : "idle"}
          title="A direct path"
          note={relayed > 0 ? "clients are relayed" : "known when the first client connects"}
        >
          {relayed > 0 ? <Reasons agentId={agentId} relayed /> : null}
        </Step>
      )}
    </>
  );
}

function scriptStep(agent: WorkspaceAgent, connected: boolean): { tone: Tone; title: string; note: string } {
  const title = "Startup scripts are done";
  if (!connected) return { tone: "idle", title, note: "they run when it is connected" };
  const failed = agent.scripts.find(({ exit_code: code }) => code !== undefined && code !== 0);
  if (agent.lifecycle_state === "start_error")
    return {
      tone: "warn",
      title,
      note: `${failed?.display_name ?? "a script"} failed; its log is on the workspace's page`,
    };
  if (agent.lifecycle_state === "ready")
    return { tone: "ok", title, note: agent.scripts.length === 0 ? "there are none" : "" };
  return { tone: "idle", title, note: "running" };
}

function Step({
  tone,
  title,
  note,
  children,
}: {
  readonly tone: Tone;
  readonly title: string;
  readonly note: string;
  readonly children?: ComponentChildren;
}): JSX.Element {
  return (
    <li>
      <State tone={tone}>{title}</State> <span class="quiet">{note}</span>
      {children}
    </li>
  );
}
