import { useSignal } from "@preact/signals";
import { healthAddress } from "coder-protocol/app-addresses";
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { WorkspaceApp } from "coder-protocol/rest/workspace-apps";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { addApp, changeApp, removeApp } from "../../api/apps.ts";
import { Field, Form, useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { agentsOf } from "../agents-of.ts";
import { LEVEL_WORDS, LEVELS } from "../share-levels.ts";
import { SharedWith } from "../shared-with.tsx";
import { AppIcon } from "./app-icon.tsx";

const HEALTH_INTERVAL_SECONDS = 10;
const HEALTH_THRESHOLD = 6;

/** The apps of a workspace, and a form to add another. */
export function AppsEditor({ workspace }: { readonly workspace: Workspace }): JSX.Element {
  const agents = agentsOf(workspace);
  const apps = agents.flatMap((agent) => agent.apps as WorkspaceApp[]);
  const work = useWork();
  return (
    <section>
      <h2>Apps</h2>
      <p class="quiet">
        Programs of the workspace with a name of their own. The machine itself declares some with a file; here are those
        and yours.
      </p>
      {work.error === undefined ? null : <Problem error={work.error} />}
      {apps.length === 0 ? null : (
        <table class="list compact">
          <thead>
            <tr>
              <th scope="col">App</th>
              <th scope="col">Program</th>
              <th scope="col">Shared with</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {apps.map((app) => (
              <tr key={app.id}>
                <th scope="row">
                  <AppIcon icon={app.icon} /> {app.slug}
                </th>
                <td data-label="Program">
                  <code>{app.url || app.command}</code>
                </td>
                <td data-label="Shared with">
                  {app.source === "agent" ? (
                    <SharedWith chosen={app.sharing_level} effective={app.effective_level} />
                  ) : (
                    <LevelChoice
                      label={`Who may use ${app.slug}`}
                      level={app.sharing_level}
                      onChoose={(level) =>
                        work.run(async () => {
                          await changeApp(workspace.id, app.slug, { sharing_level: level });
                        })
                      }
                    />
                  )}
                </td>
                <td class="row-actions">
                  <button
                    type="button"
                    class="button small"
                    aria-label={`Remove ${app.slug}`}
                    disabled={work.running}
                    onClick={() => work.run(async () => removeApp(workspace.id, app.slug))}
                  >
                    Remove
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <NewApp workspace={workspace} agentName={agents[0]?.name ?? ""} />
    </section>
  );
}

function LevelChoice({
  label,
  level,
  onChoose,
}: {
  readonly label: string;
  readonly level: ShareLevel;
  readonly onChoose: (level: ShareLevel) => void;
}): JSX.Element {
  return (
    <select
      aria-label={label}
      value={level}
      onChange={({ currentTarget }) => onChoose(LEVELS.find((each) => each === currentTarget.value) ?? "owner")}
    >
      {LEVELS.map((each) => (
        <option key={each} value={each}>
          {LEVEL_WORDS[each]}
        </option>
      ))}
    </select>
  );
}

function NewApp({ workspace, agentName }: { readonly workspace: Workspace; readonly agentName: string }): JSX.Element {
  const work = useWork();
  const shown = useSignal(0);
  return (
    <details>
      <summary>Add an app</summary>
      <Form
        key={shown.value}
        work={work}
        submit="Add the app"
        onSubmit={async (values) => {
          const { slug = "", name = "", url = "", icon = "", health = "" } = values;
          const check = health === "" ? undefined : healthAddress(url, health);
          await addApp(workspace.id, {
            agent_name: agentName,
            slug,
            display_name: name,
            url,
            icon,
            healthcheck:
              check === undefined
                ? undefined
                : { url: check, interval: HEALTH_INTERVAL_SECONDS, threshold: HEALTH_THRESHOLD },
          });
          shown.value++;
        }}
      >
        <Field label="Name in addresses" name="slug" hint="Lower-case letters, digits and hyphens" maxLength={32} />
        <Field label="Display name" name="name" required={false} maxLength={64} />
        <Field label="Where the program listens" name="url" hint="Such as http://127.0.0.1:8080/?folder=/home/dev" />
        <Field label="Icon" name="icon" required={false} hint="Such as /icon/code.svg" />
        <Field
          label="Health check"
          name="health"
          required={false}
          hint="A path that the agent checks, such as /healthz; empty for no check"
        />
      </Form>
    </details>
  );
}
