/** The hosts that a sign-in at an app opens as well: those of the apps that it names beside itself. */
import { appLabel } from "../base/app-name.ts";
import { type Wildcard, wildcardOrigin } from "../base/wildcard.ts";
import type { ChainStop } from "./chains.ts";
import { type AppLabel, type AppPlace, parseProgram } from "./label.ts";
import type { AppResolver, ResolvedApp } from "./resolver.ts";

export interface BesideOptions {
  readonly resolver: Pick<AppResolver, "resolve">;
  /** Below which the app is. */
  readonly wildcard: Wildcard;
  /** Whose scheme and port its hosts have. */
  readonly accessUrl: URL;
  /** Whether the visitor may use it there. */
  readonly admits: (app: ResolvedApp) => boolean | Promise<boolean>;
}

/** @param label Of the app. @param host Its name, in lower case and without a port. */
export async function stopsBeside(label: AppLabel, host: string, options: BesideOptions): Promise<ChainStop[]> {
  const { accessUrl, admits, resolver, wildcard } = options;
  const app = await resolver.resolve(label);
  const stops: ChainStop[] = [];
  for (const what of app?.target.also ?? []) {
    const program = parseProgram(what);
    if ("error" in program) continue;
    const beside = await resolver.resolve({ ...label, prefix: "", program });
    if (beside === undefined || !(await admits(beside))) continue;
    const name = besideLabel(what, label.place, beside);
    const stop = { hostname: `${name}${wildcard.suffix}`, origin: wildcardOrigin(wildcard, name, accessUrl) };
    if (stop.hostname !== host) stops.push(stop);
  }
  return stops;
}

/** The label of an app beside one at `place`, by the alias where that one is named by it. */
function besideLabel(what: string, place: AppPlace, { agent, workspace, owner }: ResolvedApp): string {
  if ("alias" in place) return `${what}--${place.alias}`;
  const names = { agent: agent.name, workspace: workspace.name, owner: owner.username };
  return appLabel(what, { ...names, alias: agent.app_alias });
}
