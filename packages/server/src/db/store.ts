import { randomUUID } from "node:crypto";
import type { Kysely } from "kysely";
import { ServerError } from "../base/errors.ts";
import { AccessOutbox } from "./access-outbox.ts";
import { AgentLogs } from "./agent-logs.ts";
import { AgentReports } from "./agent-reports.ts";
import { AgentScripts } from "./agent-scripts.ts";
import { Agents } from "./agents.ts";
import { ApiKeys } from "./api-keys.ts";
import { AppSessions } from "./app-sessions.ts";
import { Apps } from "./apps.ts";
import type { Backend, ConnectionPool } from "./backend.ts";
import { ConnectionReports } from "./connection-reports.ts";
import type { OpenConnection } from "./dedicated.ts";
import { GroupCommit, type LockedRow } from "./group-commit.ts";
import { Lookups } from "./lookups.ts";
import { PendingAudit } from "./pending-audit.ts";
import { PortShares } from "./port-shares.ts";
import { ProxyAppGrants } from "./proxy-app-grants.ts";
import { ReplicaHealths } from "./replica-health.ts";
import type { Database } from "./schema.ts";
import { Settings } from "./settings.ts";
import { SqliteBackend } from "./sqlite-backend.ts";
import { UserSettings } from "./user-settings.ts";
import { Users } from "./users.ts";
import { WorkspaceBuilds } from "./workspace-builds.ts";
import { WorkspaceProxies } from "./workspace-proxies.ts";
import { Workspaces } from "./workspaces.ts";

/** The tables, each with its queries. They are the same inside and outside a transaction. */
export interface Tables {
  readonly settings: Settings;
  readonly users: Users;
  readonly apiKeys: ApiKeys;
  readonly workspaces: Workspaces;
  readonly builds: WorkspaceBuilds;
  readonly agents: Agents;
  readonly agentReports: AgentReports;
  readonly agentLogs: AgentLogs;
  readonly agentScripts: AgentScripts;
  readonly connectionReports: ConnectionReports;
  readonly pendingAudit: PendingAudit;
  readonly portShares: PortShares;
  readonly appSessions: AppSessions;
  readonly apps: Apps;
  readonly userSettings: UserSettings;
  readonly accessOutbox: AccessOutbox;
  readonly workspaceProxies: WorkspaceProxies;
  readonly proxyAppGrants: ProxyAppGrants;
}

/** Ids that never change during the life of a deployment. */
export interface DeploymentIds {
  readonly deploymentId: string;
  readonly organizationId: string;
  readonly templateId: string;
  readonly templateVersionId: string;
  readonly createdAt: number;
}

export interface StoreOptions {
  /** Called with the duration of each transaction, in seconds. */
  readonly onTransaction?: (seconds: number) => void;
  /** Called with the text of each query. */
  readonly onQuery?: (sql: string) => void;
}

/**
 * The store: the tables in one of the two databases. A write whose promise has resolved is committed. Each table is declared
 * again here, because the compiler does not check that fields taken from an interface are set.
 */
export class Store implements Tables {
  readonly settings: Settings;
  readonly users: Users;
  readonly apiKeys: ApiKeys;
  readonly workspaces: Workspaces;
  readonly builds: WorkspaceBuilds;
  readonly agents: Agents;
  readonly agentReports: AgentReports;
  readonly agentLogs: AgentLogs;
  readonly agentScripts: AgentScripts;
  readonly connectionReports: ConnectionReports;
  readonly pendingAudit: PendingAudit;
  readonly portShares: PortShares;
  readonly appSessions: AppSessions;
  readonly apps: Apps;
  readonly userSettings: UserSettings;
  readonly accessOutbox: AccessOutbox;
  readonly workspaceProxies: WorkspaceProxies;
  readonly proxyAppGrants: ProxyAppGrants;
  /** For small writes, many of which may be requested at the same time. */
  readonly commits = new GroupCommit<Tables>({
    transaction: (work) => this.transaction(work),
    statement: (work) => this.statement(work),
    lock: lockInOrder,
  });
  readonly lookups: Lookups;
  /** Opens connections beside those of queries; undefined if this process has the database to itself. */
  readonly openConnection: OpenConnection | undefined;
  /** The reports of the servers on this database; undefined if this process has it to itself. */
  readonly replicaHealths: ReplicaHealths | undefined;
  /** How the connections are used; undefined if there is only one. */
  readonly pool: ConnectionPool | undefined;
  readonly #onTransaction: ((seconds: number) => void) | undefined;
  readonly #backend: Backend;
  #closed = false;

  private constructor(backend: Backend, options: StoreOptions) {
    this.#onTransaction = options.onTransaction;
    this.#backend = backend;
    this.openConnection = backend.openConnection;
    this.replicaHealths = backend.openConnection === undefined ? undefined : new ReplicaHealths(backend.db);
    this.pool = backend.pool;
    const tables = tablesOf(backend.db);
    this.settings = tables.settings;
    this.users = tables.users;
    this.apiKeys = tables.apiKeys;
    this.workspaces = tables.workspaces;
    this.builds = tables.builds;
    this.agents = tables.agents;
    this.agentReports = tables.agentReports;
    this.agentLogs = tables.agentLogs;
    this.agentScripts = tables.agentScripts;
    this.connectionReports = tables.connectionReports;
    this.pendingAudit = tables.pendingAudit;
    this.portShares = tables.portShares;
    this.appSessions = tables.appSessions;
    this.apps = tables.apps;
    this.userSettings = tables.userSettings;
    this.accessOutbox = tables.accessOutbox;
    this.workspaceProxies = tables.workspaceProxies;
    this.proxyAppGrants = tables.proxyAppGrants;
    this.lookups = new Lookups(tables);
  }

  /** Opens or creates a SQLite file (0600) and brings its schema up to date. Throws ServerError. */
  static open(path: string, now: number, options: StoreOptions = {}): Promise<Store> {
    return Store.on(new SqliteBackend(path, options.onQuery), now, options);
  }

  /** A store on an open database, which the store closes. Brings its schema up to date. Throws ServerError. */
  static async on(backend: Backend, now: number, options: StoreOptions = {}): Promise<Store> {
    try {
      await backend.migrate(now);
    } catch (error) {
      await backend.close();
      throw error;
    }
    return new Store(backend, options);
  }

  /**
   * Runs `work` in one transaction; a rejection rolls everything back. Inside, use only the tables that are passed to `work`:
   * with SQLite, the store's own would wait for this very transaction. Do nothing slow inside, such as hashing a password, and
   * nothing with an effect outside the database, because PostgreSQL runs `work` again after a conflict with another transaction.
   * If a query fails, let `work` fail.
   */
  async transaction<T>(work: (tables: Tables) => Promise<T>): Promise<T> {
    const start = process.hrtime.bigint();
    try {
      return await this.#backend.transaction((transaction) => work(tablesOf(transaction)));
    } finally {
      this.#onTransaction?.(Number(process.hrtime.bigint() - start) / 1e9);
    }
  }

  /**
   * Runs `work`, which is one statement, without a transaction. It may take effect twice: with PostgreSQL it runs again after the
   * connection was lost and after a conflict with a transaction.
   */
  async statement<T>(work: (tables: Tables) => Promise<T>): Promise<T> {
    const start = process.hrtime.bigint();
    try {
      return await this.#backend.statement(() => work(this));
    } finally {
      this.#onTransaction?.(Number(process.hrtime.bigint() - start) / 1e9);
    }
  }

  /** The time that a small query takes, in ms. */
  async ping(): Promise<number> {
    const start = process.hrtime.bigint();
    await this.settings.read("deployment_id");
    return Number(process.hrtime.bigint() - start) / 1e6;
  }

  /** "ok", or a description of the damage. With SQLite this reads the whole file. */
  integrityCheck(): Promise<string> {
    return this.#backend.integrity();
  }

  /**
   * Decides the deployment's ids on first use. Throws ServerError ERR_KEY_FILE if the key file belongs to another deployment.
   * Throws ERR_STORE_DAMAGED if the key file existed before but the database is new: the database was lost, and the first visitor
   * would otherwise become the owner.
   * @param keys `mayBegin`: whether a new deployment may begin with these keys.
   */
  async deployment(keys: { fingerprint: string; mayBegin: boolean }, now: number): Promise<DeploymentIds> {
    const keyFingerprint = keys.fingerprint;
    return await this.transaction(async ({ settings }) => {
      if (!keys.mayBegin && (await settings.read("key_fingerprint")) === undefined) {
        throw new ServerError("ERR_STORE_DAMAGED", "The database is empty, but there is a key file from before", {
          why: "a deployment was here whose database is lost",
          nextSteps: ["restore coder.db from a backup", "to begin a new deployment, remove keys.json and coder.db"],
        });
      }
      const fingerprint = await settings.establish("key_fingerprint", keyFingerprint);
      if (fingerprint !== keyFingerprint) throw foreignKeys();
      return {
        deploymentId: await settings.establish("deployment_id", randomUUID()),
        organizationId: await settings.establish("organization_id", randomUUID()),
        templateId: await settings.establish("template_id", randomUUID()),
        templateVersionId: await settings.establish("template_version_id", randomUUID()),
        createdAt: Number(await settings.establish("created_at", String(now))),
      };
    });
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#backend.close();
  }
}

function tablesOf(db: Kysely<Database>): Tables {
  return {
    settings: new Settings(db),
    users: new Users(db),
    apiKeys: new ApiKeys(db),
    workspaces: new Workspaces(db),
    builds: new WorkspaceBuilds(db),
    agents: new Agents(db),
    agentReports: new AgentReports(db),
    agentLogs: new AgentLogs(db),
    agentScripts: new AgentScripts(db),
    connectionReports: new ConnectionReports(db),
    pendingAudit: new PendingAudit(db),
    portShares: new PortShares(db),
    appSessions: new AppSessions(db),
    apps: new Apps(db),
    userSettings: new UserSettings(db),
    accessOutbox: new AccessOutbox(db),
    workspaceProxies: new WorkspaceProxies(db),
    proxyAppGrants: new ProxyAppGrants(db),
  };
}

/** Locks rows in the order of all transactions: dialect.ts. */
async function lockInOrder({ workspaces, agents }: Tables, rows: readonly LockedRow[]): Promise<void> {
  const ids = (table: LockedRow["table"]): string[] => rows.flatMap((row) => (row.table === table ? row.id : []));
  const [ofWorkspaces, ofAgents] = [ids("workspace"), ids("agent")];
  if (ofWorkspaces.length > 0) await workspaces.lockAll(ofWorkspaces);
  if (ofAgents.length > 0) await agents.lockAll(ofAgents);
}

/**
 * The fingerprint of the key file to which a database belongs, read before anything is written; undefined if the database is new.
 */
export async function keyFingerprintOf(backend: Backend): Promise<string | undefined> {
  return (await backend.isEmpty()) ? undefined : await new Settings(backend.db).read("key_fingerprint");
}

export function foreignKeys(): ServerError {
  return new ServerError("ERR_KEY_FILE", "The key file does not belong to this database", {
    why: "the agent tokens in the database were made with another key",
    nextSteps: [
      "restore keys.json and the database from the same backup",
      "where several servers use one database, copy keys.json from another of them",
    ],
  });
}
