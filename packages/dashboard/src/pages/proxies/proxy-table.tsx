import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import type { ComponentChildren, JSX } from "preact";
import { capital } from "../../base/words.ts";
import { State } from "../../ui/state.tsx";
import { Time } from "../../ui/time.tsx";
import { isPrimary, roleOf, statusOf, subtitleOf, titleOf } from "./proxy-words.ts";

/** Proxies with the results of their last checks. `actions` makes the last cell of a row; without it there is none. */
export function ProxyTable({
  proxies,
  actions,
}: {
  readonly proxies: readonly WorkspaceProxy[];
  readonly actions?: (proxy: WorkspaceProxy) => ComponentChildren;
}): JSX.Element {
  return (
    <table class="list top">
      <thead>
        <tr>
          <th scope="col">Region</th>
          <th scope="col">Address</th>
          <th scope="col">Status</th>
          <th scope="col">Version</th>
          {actions === undefined ? null : (
            <th scope="col">
              <span class="hidden">Actions</span>
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {proxies.map((proxy) => (
          <tr key={proxy.id}>
            <th scope="row">
              {titleOf(proxy)}
              <p class="quiet small-text">{subtitleOf(proxy)}</p>
            </th>
            <td data-label="Address" class="wide">
              <Address proxy={proxy} />
            </td>
            <td data-label="Status">
              <Status proxy={proxy} />
            </td>
            <td data-label="Version">
              {proxy.version === "" ? <span class="quiet">unknown</span> : <Version text={proxy.version} />}
            </td>
            {actions === undefined ? null : <td class="row-actions">{actions(proxy)}</td>}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Address({ proxy }: { readonly proxy: WorkspaceProxy }): JSX.Element {
  if (proxy.path_app_url === "") return <span class="quiet">stated when it registers</span>;
  return (
    <>
      {proxy.path_app_url}
      <p class="quiet small-text">
        {[roleOf(proxy), proxy.wildcard_hostname].filter((text) => text !== "").join(" · ")}
      </p>
    </>
  );
}

function Status({ proxy }: { readonly proxy: WorkspaceProxy }): JSX.Element {
  const { tone, text } = statusOf(proxy);
  const { report, checked_at: checkedAt } = proxy.status;
  return (
    <>
      <State tone={tone}>{text}</State>
      {isPrimary(proxy) ? null : (
        <p class="quiet small-text">
          {checkedAt.startsWith("0001-") ? (
            "never checked"
          ) : (
            <>
              checked <Time at={checkedAt} />
            </>
          )}
        </p>
      )}
      {[...report.errors, ...report.warnings].map((finding) => (
        <p key={finding} class="small-text">
          {capital(finding)}
        </p>
      ))}
    </>
  );
}

/** The build part of a version is on a second line. */
function Version({ text }: { readonly text: string }): JSX.Element {
  const [release = "", ...build] = text.split("+");
  return (
    <>
      <p class="unbroken">{release}</p>
      {build.map((part, index) => (
        <p key={index} class="unbroken quiet small-text">
          +{part}
        </p>
      ))}
    </>
  );
}
