import { useSignal } from "@preact/signals";
import { HIGHEST_PORT, LOWEST_APP_PORT } from "coder-protocol/app-addresses";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { ApiError } from "../../api/client.ts";
import { listeningPorts, sharePort } from "../../api/workspaces.ts";
import { useResource } from "../../live/resource.ts";
import { type OpenPorts, useOpenPorts } from "../../live/sources.ts";
import { CopyButton } from "../../ui/copy.tsx";
import { Field, Form, useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { State } from "../../ui/state.tsx";
import { Time } from "../../ui/time.tsx";
import { SharedWith } from "../shared-with.tsx";
import { closedRow, type PortRow, parsePort, portHref, portRows, shareProblem } from "./port-rows.ts";
import type { ChosenShare } from "./share-choice.ts";
import { ShareDialog } from "./share-dialog.tsx";

/** Ports on which programs in the workspace listen, and those that are shared. */
export function Ports({
  workspace,
  agent,
}: {
  readonly workspace: Workspace;
  readonly agent: WorkspaceAgent;
}): JSX.Element {
  const { data, reload } = useOpenPorts(workspace.id, agent);
  const found = data.value;
  const sharing = useSignal<PortRow | undefined>(undefined);
  const work = useWork();
  const rows = found === undefined ? [] : portRows(found);
  const change = (port: number, chosen: ChosenShare): void =>
    work.run(async () => {
      await sharePort(workspace.id, { agent_name: agent.name, port, ...chosen });
      sharing.value = undefined;
    });
  const share = (row: PortRow | undefined): void => {
    sharing.value = row;
  };
  return (
    <section>
      <div class="page-head">
        <h3>Open ports</h3>
        <button type="button" class="button small" onClick={reload}>
          Refresh
        </button>
      </div>
      {found === undefined ? <p class="quiet">Asking the agent…</p> : null}
      {found !== undefined && rows.length === 0 ? (
        <p class="quiet">No program of this workspace listens on a port.</p>
      ) : null}
      {work.error === undefined ? null : <Problem error={work.error} />}
      {found === undefined || rows.length === 0 ? null : (
        <Table workspace={workspace} rows={rows} address={found.address} onShare={share} />
      )}
      {found === undefined ? null : <AnotherPort rows={rows} onShare={share} />}
      {found === undefined || sharing.value === undefined ? null : (
        <Sharing
          key={sharing.value.port}
          agent={agent}
          row={sharing.value}
          maxLevel={found.max_share_level}
          busy={work.running}
          onCancel={() => share(undefined)}
          onShare={change}
        />
      )}
    </section>
  );
}

function Table({
  workspace,
  rows,
  address,
  onShare,
}: {
  readonly workspace: Workspace;
  readonly rows: readonly PortRow[];
  readonly address: string;
  readonly onShare: (row: PortRow) => void;
}): JSX.Element {
  return (
    <table class="list compact">
      <thead>
        <tr>
          <th scope="col">Port</th>
          <th scope="col">Program</th>
          <th scope="col">Shared with</th>
          <th scope="col">
            <span class="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Row key={row.port} workspace={workspace} row={row} href={portHref(address, row)} onShare={onShare} />
        ))}
      </tbody>
    </table>
  );
}

function Row({
  workspace,
  row,
  href,
  onShare,
}: {
  readonly workspace: Workspace;
  readonly row: PortRow;
  readonly href: string | undefined;
  readonly onShare: (row: PortRow) => void;
}): JSX.Element {
  const { kind, listening, port, program } = row;
  return (
    <tr>
      <th scope="row">{port}</th>
      <td class="program" data-label="Program">
        {listening ? program || "–" : <State tone="idle">Closed</State>}
        {kind === undefined || kind === "other" ? null : <span class="quiet"> {kind}</span>}
      </td>
      <td data-label="Shared with">
        <Shared row={row} />
      </td>
      <td class="row-actions">
        {href === undefined || !listening ? null : (
          <a
            class="button small"
            href={href}
            target="_blank"
            rel="noopener noreferrer"
            aria-label={`Open port ${port}`}
          >
            Open
          </a>
        )}
        <CopyButton text={`coder port-forward ${workspace.name} --tcp ${port}`} label="Copy forward" />
        <button type="button" class="button small" aria-label={`Share port ${port}`} onClick={() => onShare(row)}>
          Share
        </button>
      </td>
    </tr>
  );
}

function Shared({ row }: { readonly row: PortRow }): JSX.Element {
  const { share } = row;
  if (share === undefined) return <span class="quiet">Only you</span>;
  const problem = shareProblem(row);
  return (
    <>
      <SharedWith chosen={share.share_level} effective={share.effective_level} />
      {share.label === "" ? null : ` · ${share.label}`}
      {share.expires_at === null ? null : (
        <>
          {" · ends "}
          <Time at={share.expires_at} />
        </>
      )}
      {problem === undefined ? null : (
        <p class="small-text">
          <State tone="warn">{problem}</State>
        </p>
      )}
    </>
  );
}

/** Shares a port on which no program listens yet. */
function AnotherPort({
  rows,
  onShare,
}: {
  readonly rows: readonly PortRow[];
  readonly onShare: (row: PortRow) => void;
}): JSX.Element {
  const work = useWork();
  return (
    <details>
      <summary>Share another port</summary>
      <Form
        work={work}
        submit="Share…"
        onSubmit={async ({ port: text = "" }) => {
          const port = parsePort(text);
          if (port === undefined)
            throw new ApiError(0, { message: `A port is a number from ${LOWEST_APP_PORT} to ${HIGHEST_PORT}` });
          onShare(rows.find((row) => row.port === port) ?? closedRow(port));
        }}
      >
        <Field label="Port" name="port" hint="Such as 3000; a program may begin to listen there later" maxLength={5} />
      </Form>
    </details>
  );
}

/** The dialog for one port, about which the agent is asked first. */
function Sharing({
  agent,
  row,
  ...dialog
}: {
  readonly agent: WorkspaceAgent;
  readonly row: PortRow;
  readonly maxLevel: OpenPorts["max_share_level"];
  readonly busy: boolean;
  readonly onCancel: () => void;
  readonly onShare: (port: number, chosen: ChosenShare) => void;
}): JSX.Element {
  const asked = useResource(`port-kind:${agent.id}:${row.port}`, {
    load: (signal) => listeningPorts(agent.id, [row.port], signal),
  }).data.value;
  const kind = asked?.ports.find(({ port }) => port === row.port)?.kind;
  return <ShareDialog {...dialog} row={row} kind={kind ?? row.kind} />;
}
