import { useSignal } from "@preact/signals";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { AppHealth, WorkspaceApp } from "coder-protocol/rest/workspace-apps";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { applicationsHost, changeApp } from "../../api/apps.ts";
import { useResource } from "../../live/resource.ts";
import { RegionChooser } from "../../regions/region-chooser.tsx";
import { regions } from "../../regions/regions.ts";
import { ConsentButton, Dialog } from "../../ui/dialog.tsx";
import { useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { State, type Tone } from "../../ui/state.tsx";
import { LEVEL_WORDS } from "../share-levels.ts";
import { SharedWith } from "../shared-with.tsx";
import { AppIcon } from "./app-icon.tsx";
import { appLink, shownApps } from "./app-links.ts";

const HEALTH: Readonly<Record<AppHealth, { readonly tone: Tone; readonly text: string } | undefined>> = {
  disabled: undefined,
  initializing: { tone: "idle", text: "Not checked yet" },
  healthy: { tone: "ok", text: "Healthy" },
  unhealthy: { tone: "bad", text: "Unhealthy" },
};

/** Declared apps of an agent; nothing if there are none. */
export function Apps({
  workspace,
  agent,
}: {
  readonly workspace: Workspace;
  readonly agent: WorkspaceAgent;
}): JSX.Element | null {
  const host = useResource("applications-host", { load: applicationsHost }).data.value?.host;
  const asked = useSignal<WorkspaceApp | undefined>(undefined);
  const work = useWork();
  const apps = shownApps(agent);
  if (apps.length === 0) return null;
  const approve = (app: WorkspaceApp): void =>
    work.run(async () => {
      await changeApp(workspace.id, app.slug, { sharing_level: app.requested_level, url: app.url });
      asked.value = undefined;
    });
  return (
    <section>
      <h3>Apps</h3>
      <p class="small-text">
        <RegionChooser />
      </p>
      {work.error === undefined ? null : <Problem error={work.error} />}
      <table class="list compact">
        <thead>
          <tr>
            <th scope="col">App</th>
            <th scope="col">Health</th>
            <th scope="col">Shared with</th>
            <th scope="col">
              <span class="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {apps.map((app) => (
            <Row
              key={app.id}
              app={app}
              host={host}
              place={{ owner: workspace.owner_name, workspace: workspace.name, agent: agent.name }}
              onApprove={() => {
                asked.value = app;
              }}
            />
          ))}
        </tbody>
      </table>
      {asked.value === undefined ? null : (
        <Approval
          app={asked.value}
          busy={work.running}
          onCancel={() => {
            asked.value = undefined;
          }}
          onApprove={approve}
        />
      )}
    </section>
  );
}

function Row({
  app,
  host,
  place,
  onApprove,
}: {
  readonly app: WorkspaceApp;
  /** Undefined until it is known. */
  readonly host: string | undefined;
  readonly place: { readonly owner: string; readonly workspace: string; readonly agent: string };
  readonly onApprove: () => void;
}): JSX.Element {
  const { protocol } = window.location;
  const link = host === undefined ? undefined : appLink(app, { ...place, host, protocol, region: regions.proxy });
  const health = HEALTH[app.health];
  return (
    <tr>
      <th scope="row" title={app.tooltip}>
        <AppIcon icon={app.icon} /> {app.display_name}
      </th>
      <td data-label="Health">
        {health === undefined ? <span class="quiet">–</span> : <State tone={health.tone}>{health.text}</State>}
      </td>
      <td data-label="Shared with">
        <SharedWith chosen={app.sharing_level} effective={app.effective_level} />
        {link?.belowPath === true ? (
          <p class="small-text">
            <State tone="warn">Runs with the rights of this page</State>
            {app.effective_level === "owner" ? null : " and is the owner's alone unless the administrator allows more"}
          </p>
        ) : null}
      </td>
      <td class="row-actions">
        {app.requested_level === undefined ? null : (
          <button
            type="button"
            class="button small"
            aria-label={`Approve sharing ${app.display_name}`}
            onClick={onApprove}
          >
            Approve…
          </button>
        )}
        {link?.href === undefined ? null : (
          <a
            class="button small"
            href={link.href}
            target="_blank"
            rel="noopener noreferrer"
            aria-label={`Open ${app.display_name}`}
          >
            Open
          </a>
        )}
      </td>
    </tr>
  );
}

function Approval({
  app,
  busy,
  onCancel,
  onApprove,
}: {
  readonly app: WorkspaceApp;
  readonly busy: boolean;
  readonly onCancel: () => void;
  readonly onApprove: (app: WorkspaceApp) => void;
}): JSX.Element {
  return (
    <Dialog title={`Share ${app.display_name}?`} onCancel={onCancel}>
      <p>
        The machine asks to share <code>{app.url}</code> with: {LEVEL_WORDS[app.requested_level ?? "owner"]}. The
        approval holds for this address; when the machine changes it, the app is yours alone again.
      </p>
      <div class="actions">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <ConsentButton disabled={busy} onAgree={() => onApprove(app)}>
          Share
        </ConsentButton>
      </div>
    </Dialog>
  );
}
