import { useSignal } from "@preact/signals";
import type { WorkspaceListRow } from "coder-protocol/rest/dashboard";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { capital, count } from "../base/words.ts";
import { wholeCount } from "../live/first-rows.ts";
import { useWorkspaces } from "../live/sources.ts";
import { address, navigate } from "../router/location.ts";
import { isOwner } from "../session/session.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";
import { Icon } from "../ui/icon.tsx";
import { LongRows } from "../ui/long-rows.tsx";
import { Problem } from "../ui/problem.tsx";
import { agentState, PathBadge, State } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import type { PageProps } from "./page-props.ts";
import { type Order, sorted } from "./workspace-order.ts";

const TYPING_PAUSE_MS = 200;

export function Workspaces({ query }: PageProps): JSX.Element {
  const typed = useSignal(query.get("filter") ?? "");
  const asked = useSignal(typed.value);
  const order = useSignal<Order>("name");
  useEffect(() => {
    const timer = setTimeout(() => {
      if (asked.value === typed.value) return;
      asked.value = typed.value;
      const { pathname } = address.value;
      navigate(typed.value === "" ? pathname : `${pathname}?filter=${encodeURIComponent(typed.value)}`, {
        replace: true,
      });
    }, TYPING_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed.value, asked, typed]);
  const { data, error, reload } = useWorkspaces(asked.value);
  const found = data.value;
  const rows = useMemo(() => (found === undefined ? [] : sorted(found, order.value)), [found, order.value]);
  const total = found === undefined ? 0 : wholeCount(found);
  const none = found !== undefined && found.length === 0;
  return (
    <section class="page">
      <Breadcrumbs steps={[]} />
      <div class="page-head">
        <h1>Workspaces</h1>
        <a class="button primary" href="/workspaces/new">
          <Icon name="plus" /> Add a machine
        </a>
      </div>
      {none && asked.value === "" ? (
        <Empty />
      ) : (
        <>
          <div class="tools">
            <input
              type="search"
              aria-label="Filter workspaces"
              placeholder="Filter, such as web or status:running owner:me"
              value={typed.value}
              spellcheck={false}
              onInput={(event) => {
                typed.value = event.currentTarget.value;
              }}
            />
            <label class="inline">
              Sort by
              <select
                value={order.value}
                onChange={(event) => {
                  order.value = event.currentTarget.value === "used" ? "used" : "name";
                }}
              >
                <option value="name">Name</option>
                <option value="used">Last used</option>
              </select>
            </label>
          </div>
          {error.value === undefined ? null : (
            <Problem error={error.value} retry={error.value.status === 400 ? undefined : reload} />
          )}
          {none ? <p class="quiet">No workspace matches this filter.</p> : null}
          {rows.length === 0 ? null : <Table rows={rows} total={total} />}
          {found === undefined || none ? null : <p class="quiet small-text">{count(total, "workspace")}</p>}
        </>
      )}
    </section>
  );
}

function Table({ rows, total }: { readonly rows: readonly WorkspaceListRow[]; readonly total: number }): JSX.Element {
  return (
    <table class="list" aria-rowcount={total + 1}>
      <thead>
        <tr>
          <th scope="col">Name</th>
          {isOwner.value ? <th scope="col">Owner</th> : null}
          <th scope="col">State</th>
          <th scope="col">Path</th>
          <th scope="col">Last used</th>
          <th scope="col">
            <span class="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <LongRows items={rows} total={total} columns={isOwner.value ? 6 : 5}>
        {(row, index) => <Row key={row.id} row={row} index={index} />}
      </LongRows>
    </table>
  );
}

function Row({ row, index }: { readonly row: WorkspaceListRow; readonly index: number }): JSX.Element {
  const { name, owner_name: owner, agents } = row;
  const running = row.status === "running";
  return (
    <tr aria-rowindex={index + 2}>
      <th scope="row">
        <a href={`/@${owner}/${name}`}>{name}</a>
      </th>
      {isOwner.value ? <td data-label="Owner">{owner}</td> : null}
      <td data-label="State">
        {running ? (
          agents.map((agent) => {
            const { tone, text } = agentState(agent);
            return (
              <State key={agent.id} tone={tone}>
                {agents.length === 1 ? text : `${agent.name}: ${text}`}
              </State>
            );
          })
        ) : (
          <State tone="idle">{capital(row.status)}</State>
        )}
      </td>
      <td data-label="Path">
        {agents
          .filter(({ status }) => status === "connected")
          .map((agent) => (
            <PathBadge key={agent.id} {...agent} />
          ))}
      </td>
      <td data-label="Last used">
        <Time at={row.last_used_at} />
      </td>
      <td class="row-actions">
        {agents.some(({ status }) => status === "connected") ? (
          <a class="button small" href={`/@${owner}/${name}/terminal`} aria-label={`Terminal of ${name}`}>
            <Icon name="terminal" /> Terminal
          </a>
        ) : null}
      </td>
    </tr>
  );
}

function Empty(): JSX.Element {
  return (
    <div class="empty">
      <h2>There are no machines yet</h2>
      <p>
        A workspace is any machine that runs the agent: a server, a container, a laptop. It needs no open port and no
        public address.
      </p>
      <a class="button primary" href="/workspaces/new">
        Add the first machine
      </a>
    </div>
  );
}
