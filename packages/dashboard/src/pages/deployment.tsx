import type { JSX } from "preact";
import { buildInfo, deploymentConfig, deploymentStats } from "../api/deployment.ts";
import { count } from "../base/words.ts";
import { useResource } from "../live/resource.ts";
import { isOwner } from "../session/session.ts";
import { Problem } from "../ui/problem.tsx";
import { flattened } from "./flattened.ts";
import { OwnersOnly } from "./owners-only.tsx";

export function Deployment(): JSX.Element {
  return isOwner.value ? <Page /> : <OwnersOnly title="Deployment" />;
}

function Page(): JSX.Element {
  const info = useResource("buildinfo", { load: buildInfo }).data.value;
  const stats = useResource("stats", { load: deploymentStats }).data.value;
  const { data, error, reload } = useResource("deployment-config", { load: deploymentConfig });
  const settings = data.value === undefined ? [] : flattened(data.value["config"]);
  return (
    <section class="page">
      <h1>Deployment</h1>
      <dl class="pairs">
        <dt>Version</dt>
        <dd>{info?.version ?? "…"}</dd>
        <dt>Access URL</dt>
        <dd>{info?.dashboard_url ?? "…"}</dd>
        <dt>Users</dt>
        <dd>{typeof stats?.["users"] === "number" ? count(stats["users"], "user") : "…"}</dd>
        <dt>Identifier</dt>
        <dd>
          <code>{info?.deployment_id ?? "…"}</code>
        </dd>
      </dl>
      <h2>Settings</h2>
      <p class="quiet">
        As the server runs now. They are changed by its flags and environment; <code>coder server --help</code>{" "}
        describes each.
      </p>
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      <table class="list compact">
        <thead>
          <tr>
            <th scope="col">Setting</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {settings.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td data-label="Value">{value === "" ? <span class="quiet">unset</span> : value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
