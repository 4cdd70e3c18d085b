import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { applicationsHost } from "../api/apps.ts";
import { buildInfo, type DeploymentOption, deploymentOptions, deploymentStats, replicas } from "../api/deployment.ts";
import { useResource } from "../live/resource.ts";
import { isOwner } from "../session/session.ts";
import { Problem } from "../ui/problem.tsx";
import { DeploymentFrame } from "./deployment-frame.tsx";
import { OwnersOnly } from "./owners-only.tsx";
import { DeploymentPolicyEditor } from "./policy/policy-editor.tsx";
import { ReplicaList } from "./replicas.tsx";

export function Deployment(): JSX.Element {
  return isOwner.value ? <Page /> : <OwnersOnly title="Deployment" />;
}

const SOURCES: Readonly<Record<string, string>> = {
  default: "Default",
  env: "Environment",
  flag: "Command line",
  "": "Default",
};

function Page(): JSX.Element {
  const build = useResource("buildinfo", { load: buildInfo }).data.value;
  const stats = useResource("deployment-stats", { load: deploymentStats }).data.value;
  const servers = useResource("replicas", { load: replicas });
  const { data, error, reload } = useResource("deployment-options", { load: deploymentOptions });
  const all = useSignal(false);
  const options = data.value?.options ?? [];
  const appHosts = useResource("applications-host", { load: applicationsHost }).data.value?.host;
  const changed = options.filter(({ value_source: source }) => source === "env" || source === "flag");
  const shown = all.value ? options : changed;
  return (
    <DeploymentFrame title="Overview">
      <dl class="pairs">
        <dt>Version</dt>
        <dd>{build?.version}</dd>
        <dt>Access URL</dt>
        <dd>{build?.dashboard_url}</dd>
        <dt>Host names of web apps</dt>
        <dd>
          {appHosts === ""
            ? "none: --wildcard-access-url is not set. Declared apps are served below a path, and ports are not served"
            : appHosts}
        </dd>
        <dt>Users</dt>
        <dd>{String(stats?.["users"] ?? "")}</dd>
      </dl>
      <h2>Servers</h2>
      {servers.error.value === undefined ? null : <Problem error={servers.error.value} retry={servers.reload} />}
      {servers.data.value === undefined ? null : <ReplicaList replicas={servers.data.value} />}
      <div class="apart">
        <DeploymentPolicyEditor />
      </div>
      <div class="page-head">
        <h2>Settings</h2>
        <label class="inline">
          <input
            type="checkbox"
            checked={all.value}
            onChange={(event) => {
              all.value = event.currentTarget.checked;
            }}
          />{" "}
          Show those at their default
        </label>
      </div>
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {data.value !== undefined && shown.length === 0 ? <p class="quiet">Every setting has its default.</p> : null}
      {shown.length === 0 ? null : <Options options={shown} />}
    </DeploymentFrame>
  );
}

function Options({ options }: { readonly options: readonly DeploymentOption[] }): JSX.Element {
  return (
    <table class="list">
      <thead>
        <tr>
          <th scope="col">Setting</th>
          <th scope="col">Value</th>
          <th scope="col">From</th>
        </tr>
      </thead>
      <tbody>
        {options.map((option) => (
          <tr key={option.name}>
            <th scope="row">
              <code>--{option.flag}</code>
              <p class="quiet small-text">{option.description}</p>
            </th>
            <td data-label="Value">{option.value === "" ? <span class="quiet">unset</span> : option.value}</td>
            <td data-label="From">
              {SOURCES[option.value_source] ?? option.value_source}
              {option.value_source === "env" ? (
                <p class="quiet small-text">
                  <code>{option.env}</code>
                </p>
              ) : null}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
