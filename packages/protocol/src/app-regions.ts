/** Where an app is opened in a region: at the deployment itself, or at a workspace proxy. */

/** The fields of a region that decide this. */
export interface AppRegion {
  readonly path_app_url: string;
  readonly wildcard_hostname: string;
  /** Undefined if the deployment does not say, as stock ones do not. */
  readonly path_apps?: boolean | undefined;
}

export interface PlacedApp {
  readonly owner: string;
  readonly workspace: string;
  readonly agent: string;
  readonly slug: string;
  /** First label of its host name; "" for one that is below a path only. */
  readonly label: string;
}

const ORIGIN = /^(https?:)\/\/(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?\/?$/;
const WILDCARD = /^\*[.-][A-Za-z0-9._-]+(:[0-9]{1,5})?$/;
const LABEL = /^[A-Za-z0-9-]+$/;

/**
 * The address of the app: a host of its own where the region has those, below a path otherwise. Undefined if the region
 * does not serve it.
 */
export function appAddressIn(
  region: AppRegion,
  app: PlacedApp,
): { readonly href: string; readonly belowPath: boolean } | undefined {
  const { path_app_url: url, path_apps: pathApps, wildcard_hostname: wildcard } = region;
  const [origin, scheme, port = ""] = ORIGIN.exec(url) ?? [];
  if (origin === undefined) return undefined;
  const pattern = WILDCARD.exec(wildcard);
  if (pattern !== null && LABEL.test(app.label)) {
    // A proxy's pattern has a port where it differs from that of its access URL.
    const ownPort = pattern[1] === undefined ? port : "";
    return { href: `${scheme}//${wildcard.replace("*", app.label)}${ownPort}/`, belowPath: false };
  }
  if (pathApps === false) return undefined;
  const [owner, workspace, agent, slug] = [app.owner, app.workspace, app.agent, app.slug].map(encodeURIComponent);
  return { href: `${origin.replace(/\/$/, "")}/@${owner}/${workspace}.${agent}/apps/${slug}/`, belowPath: true };
}
