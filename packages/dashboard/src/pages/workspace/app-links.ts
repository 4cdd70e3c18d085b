/** What a page shows about declared apps. Pure. */
import { externalAddressProblem } from "coder-protocol/app-addresses";
import { type AppRegion, appAddressIn } from "coder-protocol/app-regions";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { WorkspaceApp } from "coder-protocol/rest/workspace-apps";

export interface AppPlace {
  readonly owner: string;
  readonly workspace: string;
  readonly agent: string;
  /** Host names of apps, such as `*.apps.example.com`; "" when there are none. */
  readonly host: string;
  /** Scheme of the deployment, including the colon. */
  readonly protocol: string;
  /** The workspace proxy that this browser uses; undefined for the deployment itself. */
  readonly region?: AppRegion | undefined;
}

export interface AppLink {
  /** Undefined when there is nothing to open. */
  readonly href: string | undefined;
  /** Whether the app's pages share this page's origin. */
  readonly belowPath: boolean;
}

export function appLink(app: WorkspaceApp, place: AppPlace): AppLink {
  if (app.external)
    return { href: externalAddressProblem(app.url) === undefined ? app.url : undefined, belowPath: false };
  const { agent, host, owner, workspace } = place;
  const base = `/@${owner}/${workspace}.${agent}`;
  if (app.url === "") return { href: `${base}/terminal?command=${encodeURIComponent(app.command)}`, belowPath: false };
  const named = { owner, workspace, agent, slug: app.slug, label: app.subdomain_name };
  const away = place.region && appAddressIn(place.region, named);
  // The app's pages have another origin than this one.
  if (away !== undefined) return { href: away.href, belowPath: false };
  if (host !== "" && app.subdomain_name !== "")
    return { href: `${place.protocol}//${host.replace("*", app.subdomain_name)}/`, belowPath: false };
  return { href: `${base}/apps/${app.slug}/`, belowPath: true };
}

/** The apps to show, in the order of the server. */
export function shownApps({ apps }: WorkspaceAgent): WorkspaceApp[] {
  return (apps as WorkspaceApp[]).filter(({ hidden }) => !hidden);
}
