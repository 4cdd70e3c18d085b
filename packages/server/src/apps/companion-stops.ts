/**
 * Further hosts that a sign-in at an app signs the browser in to: those of the apps that the app declares as belonging with it.
 */
import { appLabel } from "../base/app-name.ts";
import { type Wildcard, wildcardOrigin } from "../base/wildcard.ts";
import type { ChainStop } from "./chains.ts";
import { type AppLabel, type AppPlace, parseProgram } from "./label.ts";
import type { AppResolver, ResolvedApp } from "./resolver.ts";

export interface CompanionOptions {
  readonly resolver: Pick<AppResolver, "resolve">;
  /** The wildcard that the app's host is below. */
  readonly wildcard: Wildcard;
  /** The hosts have the scheme and port of this URL. */
  readonly accessUrl: URL;
  /** Whether the visitor may use that app. */
  readonly admits: (app: ResolvedApp) => boolean | Promise<boolean>;
}

/** @param label The label of the app. @param host Its host name in lower case, without a port. */
export async function companionStops(label: AppLabel, host: string, options: CompanionOptions): Promise<ChainStop[]> {
  const { accessUrl, admits, resolver, wildcard } = options;
  const app = await resolver.resolve(label);
  const stops: ChainStop[] = [];
  for (const what of app?.target.also ?? []) {
    const program = parseProgram(what);
    if ("error" in program) continue;
    const companion = await resolver.resolve({ ...label, prefix: "", program });
    if (companion === undefined || !(await admits(companion))) continue;
    const name = companionLabel(what, label.place, companion);
    const stop = { hostname: `${name}${wildcard.suffix}`, origin: wildcardOrigin(wildcard, name, accessUrl) };
    if (stop.hostname !== host) stops.push(stop);
  }
  return stops;
}

/** The label of an app declared beside the one at `place`. It uses the alias if `place` does. */
function companionLabel(what: string, place: AppPlace, { agent, workspace, owner }: ResolvedApp): string {
  if ("alias" in place) return `${what}--${place.alias}`;
  const names = { agent: agent.name, workspace: workspace.name, owner: owner.username };
  return appLabel(what, { ...names, alias: agent.app_alias });
}
