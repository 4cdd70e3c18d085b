/** The address at which the deployment itself serves an app that is not served through a workspace proxy. */
import { type Wildcard, wildcardOrigin } from "../base/wildcard.ts";
import type { AppAnswer } from "./pages.ts";
import type { ProxiedApp } from "./proxied-apps.ts";
import { notFoundAnswer } from "./sign-in.ts";

export interface OwnPlaceOptions {
  /** The deployment's own wildcard; undefined if apps have no hosts of their own there. */
  readonly wildcard: Wildcard | undefined;
  readonly accessUrl: () => URL;
}

/**
 * The address of the app at the deployment; undefined if the deployment has no host for it.
 * @param target The requested path with its query. For an app below a path it includes the names of the app.
 */
export function ownPlace(
  app: ProxiedApp,
  target: string,
  { wildcard, accessUrl }: OwnPlaceOptions,
): string | undefined {
  const access = accessUrl();
  if (app.method === "path") return `${access.origin}${target}`;
  return wildcard === undefined ? undefined : `${wildcardOrigin(wildcard, app.label, access)}${target}`;
}

/** Redirects the browser to the app at the deployment. */
export function ownPlaceAnswer(app: ProxiedApp, target: string, options: OwnPlaceOptions): AppAnswer {
  const location = ownPlace(app, target, options);
  if (location === undefined) return notFoundAnswer(options.accessUrl());
  const text = `This app is not served here. Open ${location}`;
  return { status: 303, title: "See Other", text, headers: { Location: location }, fields: { url: location } };
}
