import type { Kysely } from "kysely";
import { initial } from "./001-initial.ts";
import { agentScripts } from "./002-agent-scripts.ts";
import { apps } from "./003-apps.ts";
import { declaredApps } from "./004-declared-apps.ts";
import { appChoices } from "./005-app-chains.ts";
import { userSettings } from "./007-user-settings.ts";
import { connectionPolicies } from "./008-connection-policy.ts";
import { compatibleFrom } from "./009-compatible-from.ts";
import { cluster } from "./010-cluster.ts";
import { agentConnection } from "./011-agent-connection.ts";
import { workspaceProxies } from "./013-workspace-proxies.ts";
import { accessOutbox } from "./014-access-outbox.ts";
import { replicaHealth } from "./015-replica-health.ts";
import { proxyStatements } from "./016-proxy-statements.ts";
import { proxyAppGrants } from "./017-proxy-app-grants.ts";
import { confirmedProxies } from "./018-confirmed-proxies.ts";
import { pathAppsOfProxies } from "./019-path-apps-of-proxies.ts";

export interface Migration {
  /** Ascending; numbers may be skipped. A released migration never changes. */
  readonly version: number;
  readonly name: string;
  /**
   * The oldest schema version whose program can run on the schema after this step. A step that only adds things keeps the number
   * of the step before. Default: its own version, so that older programs refuse to start.
   */
  readonly compatibleFrom?: number;
  /** Column types are text, bigint and bytesType(db); the SQL must be valid in both databases. */
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
  { version: 9, name: "compatible from", up: compatibleFrom },
  { version: 10, name: "cluster", compatibleFrom: 9, up: cluster },
  { version: 11, name: "agent connection", compatibleFrom: 9, up: agentConnection },
  { version: 13, name: "workspace proxies", compatibleFrom: 9, up: workspaceProxies },
  { version: 14, name: "access outbox", compatibleFrom: 9, up: accessOutbox },
  { version: 15, name: "replica health", compatibleFrom: 9, up: replicaHealth },
  { version: 16, name: "proxy statements", compatibleFrom: 9, up: proxyStatements },
  { version: 17, name: "app grants of proxies", compatibleFrom: 9, up: proxyAppGrants },
  { version: 18, name: "confirmed proxies", compatibleFrom: 9, up: confirmedProxies },
  { version: 19, name: "path apps of proxies", compatibleFrom: 9, up: pathAppsOfProxies },
];

/** The version of the schema that this release writes. It upgrades older schemas. */
export function newestSchemaVersion(): number {
  return migrations.at(-1)!.version;
}
