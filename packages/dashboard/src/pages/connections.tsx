import { useSignal } from "@preact/signals";
import type { ConnectionLogEntry } from "coder-protocol/rest/profile";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { connectionLog } from "../api/deployment.ts";
import { useResource } from "../live/resource.ts";
import { isOwner } from "../session/session.ts";
import { Problem } from "../ui/problem.tsx";
import { State } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import { DeploymentFrame } from "./deployment-frame.tsx";
import { OwnersOnly } from "./owners-only.tsx";

const TYPING_PAUSE_MS = 250;

/** The connections that agents have reported. */
export function Connections({ query }: { readonly query: URLSearchParams }): JSX.Element {
  return isOwner.value ? <Page filter={query.get("filter") ?? ""} /> : <OwnersOnly title="Connections" />;
}

function Page({ filter }: { readonly filter: string }): JSX.Element {
  const typed = useSignal(filter);
  const asked = useSignal({ q: filter, offset: 0 });
  useEffect(() => {
    const timer = setTimeout(() => {
      if (asked.value.q !== typed.value) asked.value = { q: typed.value, offset: 0 };
    }, TYPING_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed.value, asked, typed]);
  const { q, offset } = asked.value;
  return (
    <DeploymentFrame title="Connections">
      <div class="tools">
        <input
          type="search"
          aria-label="Filter connections"
          placeholder="Filter, such as web or owner:alice type:ssh action:connect"
          value={typed.value}
          spellcheck={false}
          onInput={(event) => {
            typed.value = event.currentTarget.value;
          }}
        />
      </div>
      <Log
        key={`${offset} ${q}`}
        q={q}
        offset={offset}
        onPage={(to) => {
          asked.value = { q, offset: to };
        }}
      />
    </DeploymentFrame>
  );
}

function Log({
  q,
  offset,
  onPage,
}: {
  readonly q: string;
  readonly offset: number;
  readonly onPage: (offset: number) => void;
}): JSX.Element {
  const { data, error, reload } = useResource(`connections:${offset}:${q}`, {
    load: (signal) => connectionLog(q, offset, signal),
  });
  const found = data.value;
  if (error.value !== undefined)
    return <Problem error={error.value} retry={error.value.status === 400 ? undefined : reload} />;
  if (found === undefined) return <p class="quiet">One moment…</p>;
  if (found.connections.length === 0)
    return <p class="quiet">No connection is recorded{q === "" ? "" : " for this filter"}.</p>;
  return (
    <>
      <table class="list">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Workspace</th>
            <th scope="col">Event</th>
            <th scope="col">Kind</th>
            <th scope="col">From</th>
          </tr>
        </thead>
        <tbody>
          {found.connections.map((entry) => (
            <Row key={`${entry.connection_id}${entry.action}`} entry={entry} />
          ))}
        </tbody>
      </table>
      <nav class="actions" aria-label="Pages of the log">
        <button type="button" class="button" disabled={offset === 0} onClick={() => onPage(Math.max(0, offset - 50))}>
          Newer
        </button>
        <button
          type="button"
          class="button"
          disabled={found.next === undefined}
          onClick={() => onPage(Number(found.next))}
        >
          Older
        </button>
      </nav>
    </>
  );
}

function Row({ entry }: { readonly entry: ConnectionLogEntry }): JSX.Element {
  const begins = entry.action === "connect";
  return (
    <tr>
      <th scope="row">
        <Time at={entry.time} />
      </th>
      <td data-label="Workspace">
        <a href={`/@${entry.workspace_owner_username}/${entry.workspace_name}`}>
          {entry.workspace_owner_username}/{entry.workspace_name}
        </a>{" "}
        <span class="quiet">{entry.agent_name}</span>
      </td>
      <td data-label="Event">
        <State tone={begins ? "ok" : "idle"}>{begins ? "Connected" : "Disconnected"}</State>
        {entry.reason === "" ? null : <span class="quiet"> {entry.reason}</span>}
      </td>
      <td data-label="Kind">{entry.type}</td>
      <td data-label="From">
        <code>{entry.ip === "" ? "–" : entry.ip}</code>
      </td>
    </tr>
  );
}
