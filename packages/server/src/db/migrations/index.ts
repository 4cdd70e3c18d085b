import type { Kysely } from "kysely";
import { initial } from "./001-initial.ts";
import { agentScripts } from "./002-agent-scripts.ts";
import { apps } from "./003-apps.ts";
import { declaredApps } from "./004-declared-apps.ts";
import { appChoices } from "./005-app-chains.ts";
import { userSettings } from "./007-user-settings.ts";
import { connectionPolicies } from "./008-connection-policy.ts";

export interface Migration {
  /** Ascending; numbers may be left out. A released migration never changes. */
  readonly version: number;
  readonly name: string;
  up(db: Kysely<unknown>): Promise<void>;
}

export const migrations: readonly Migration[] = [
  { version: 1, name: "initial", up: initial },
  { version: 2, name: "agent scripts", up: agentScripts },
  { version: 3, name: "apps", up: apps },
  { version: 4, name: "declared apps", up: declaredApps },
  { version: 5, name: "choices of apps", up: appChoices },
  { version: 7, name: "user settings", up: userSettings },
  { version: 8, name: "connection policy", up: connectionPolicies },
];

/** Of the schema that this release writes; it reads older ones, and brings them up to date. */
export function newestSchemaVersion(): number {
  return migrations.at(-1)!.version;
}
