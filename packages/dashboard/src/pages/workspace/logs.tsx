import { useSignal } from "@preact/signals";
import type { AgentLog } from "coder-protocol/rest/agents";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { count } from "../../base/words.ts";
import { useAgentLogs } from "../../live/sources.ts";

/** Most lines that are drawn. */
const SHOWN = 500;

/** The agent's log, loaded when it is opened. */
export function Logs({ agentId }: { readonly agentId: string }): JSX.Element {
  const open = useSignal(false);
  return (
    <details
      onToggle={(event) => {
        open.value = event.currentTarget.open;
      }}
    >
      <summary>Log</summary>
      {open.value ? <Lines agentId={agentId} /> : null}
    </details>
  );
}

function Lines({ agentId }: { readonly agentId: string }): JSX.Element {
  const lines = useAgentLogs(agentId).data.value;
  const box = useRef<HTMLPreElement>(null);
  // New lines scroll into view only for a reader who is at the end.
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  if (lines === undefined) return <p class="quiet">One moment…</p>;
  if (lines.length === 0) return <p class="quiet">The agent has written nothing yet.</p>;
  const shown = lines.slice(-SHOWN);
  return (
    <>
      {shown.length < lines.length ? (
        <p class="quiet small-text">
          The last {count(shown.length, "line")} of {lines.length}.
        </p>
      ) : null}
      <pre
        ref={box}
        class="log"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        role="log"
        aria-label="Log of the agent"
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          atEnd.current = scrollHeight - scrollTop - clientHeight < 8;
        }}
      >
        {shown.map((line) => (
          <Line key={line.id} line={line} />
        ))}
      </pre>
    </>
  );
}

function Line({ line }: { readonly line: AgentLog }): JSX.Element {
  const at = new Date(line.created_at);
  return (
    <span class={line.level === "error" ? "bad" : line.level === "warn" ? "warn" : undefined}>
      <time class="quiet" dateTime={line.created_at}>
        {at.toLocaleTimeString([], { hour12: false })}
      </time>{" "}
      {withoutStyling(line.output)}
      {"\n"}
    </span>
  );
}

/** Removes the sequences that colour text on a terminal. */
function withoutStyling(text: string): string {
  return text.slice(0, 4_000).replace(/\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g, "");
}
