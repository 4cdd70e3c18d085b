import { randomUUID } from "node:crypto";
import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { Kysely, SqliteDialect } from "kysely";
import { isDiskFull, ServerError } from "../base/errors.ts";
import { AgentLogs } from "./agent-logs.ts";
import { AgentScripts } from "./agent-scripts.ts";
import { Agents } from "./agents.ts";
import { ApiKeys } from "./api-keys.ts";
import { AppSessions } from "./app-sessions.ts";
import { Apps } from "./apps.ts";
import { ConnectionReports } from "./connection-reports.ts";
import { GroupCommit } from "./group-commit.ts";
import { migrate } from "./migrate.ts";
import { NodeSqliteDatabase } from "./node-sqlite.ts";
import { PendingAudit } from "./pending-audit.ts";
import { PortShares } from "./port-shares.ts";
import type { Database } from "./schema.ts";
import { Settings } from "./settings.ts";
import { UserSettings } from "./user-settings.ts";
import { Users } from "./users.ts";
import { WorkspaceBuilds } from "./workspace-builds.ts";
import { Workspaces } from "./workspaces.ts";

/** The tables, each with its queries; the same inside and outside a transaction. */
export interface Tables {
  readonly settings: Settings;
  readonly users: Users;
  readonly apiKeys: ApiKeys;
  readonly workspaces: Workspaces;
  readonly builds: WorkspaceBuilds;
  readonly agents: Agents;
  readonly agentLogs: AgentLogs;
  readonly agentScripts: AgentScripts;
  readonly connectionReports: ConnectionReports;
  readonly pendingAudit: PendingAudit;
  readonly portShares: PortShares;
  readonly appSessions: AppSessions;
  readonly apps: Apps;
  readonly userSettings: UserSettings;
}

/** Ids that never change for the life of a deployment. */
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
 * The store. A promise that resolves is a write that survives kill -9 and power loss: WAL with synchronous=FULL
 * flushes every commit. One connection, so queries run one after the other.
 */
export class Store implements Tables {
  readonly settings: Settings;
  readonly users: Users;
  readonly apiKeys: ApiKeys;
  readonly workspaces: Workspaces;
  readonly builds: WorkspaceBuilds;
  readonly agents: Agents;
  readonly agentLogs: AgentLogs;
  readonly agentScripts: AgentScripts;
  readonly connectionReports: ConnectionReports;
  readonly pendingAudit: PendingAudit;
  readonly portShares: PortShares;
  readonly appSessions: AppSessions;
  readonly apps: Apps;
  readonly userSettings: UserSettings;
  /** For small writes that many may ask for at the same time. */
  readonly commits = new GroupCommit<Tables>((work) => this.transaction(work));
  readonly #onTransaction: ((seconds: number) => void) | undefined;
  readonly #db: Kysely<Database>;
  readonly #sqlite: DatabaseSync;
  #closed = false;

  private constructor(db: Kysely<Database>, sqlite: DatabaseSync, options: StoreOptions) {
    this.#onTransaction = options.onTransaction;
    this.#db = db;
    this.#sqlite = sqlite;
    const tables = tablesOf(db);
    this.settings = tables.settings;
    this.users = tables.users;
    this.apiKeys = tables.apiKeys;
    this.workspaces = tables.workspaces;
    this.builds = tables.builds;
    this.agents = tables.agents;
    this.agentLogs = tables.agentLogs;
    this.agentScripts = tables.agentScripts;
    this.connectionReports = tables.connectionReports;
    this.pendingAudit = tables.pendingAudit;
    this.portShares = tables.portShares;
    this.appSessions = tables.appSessions;
    this.apps = tables.apps;
    this.userSettings = tables.userSettings;
  }

  /** Opens or creates the database file (0600) and brings its schema up to date. Throws ServerError. */
  static async open(path: string, now: number, options: StoreOptions = {}): Promise<Store> {
    let sqlite: DatabaseSync;
    try {
      sqlite = new DatabaseSync(path, { timeout: 5000, enableForeignKeyConstraints: true });
    } catch (cause) {
      throw damaged(path, "it cannot be opened", cause);
    }
    try {
      chmodSync(path, 0o600);
      sqlite.exec(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000",
      );
    } catch (cause) {
      sqlite.close();
      throw damaged(path, "it is not a database", cause);
    }
    const db = new Kysely<Database>({
      dialect: new SqliteDialect({ database: new NodeSqliteDatabase(sqlite) }),
      ...(options.onQuery === undefined ? {} : { log: (event) => options.onQuery?.(event.query.sql) }),
    });
    const store = new Store(db, sqlite, options);
    try {
      await migrate(db, now);
    } catch (error) {
      await store.close();
      throw error;
    }
    return store;
  }

  /**
   * Runs `work` in one transaction; a rejection undoes everything. Use only the tables it is given: the store's own
   * would wait for this very transaction. Do nothing slow inside, such as hashing a password.
   */
  async transaction<T>(work: (tables: Tables) => Promise<T>): Promise<T> {
    const start = process.hrtime.bigint();
    try {
      return await this.#db.transaction().execute((transaction) => work(tablesOf(transaction)));
    } finally {
      this.#onTransaction?.(Number(process.hrtime.bigint() - start) / 1e9);
    }
  }

  /** Milliseconds that a small query takes. */
  async ping(): Promise<number> {
    const start = process.hrtime.bigint();
    await this.settings.read("deployment_id");
    return Number(process.hrtime.bigint() - start) / 1e6;
  }

  /** "ok", or what SQLite found. Reads the whole file. */
  integrityCheck(): string {
    const rows = this.#sqlite.prepare("PRAGMA integrity_check").all();
    return rows.map((row) => String(row["integrity_check"])).join("; ");
  }

  /**
   * Decides the deployment's ids on first use. Throws ServerError ERR_KEY_FILE when the key file is another one's, and
   * ERR_STORE_DAMAGED when the key file was there before but the database is new: it was lost, and the first
   * visitor would otherwise become the owner.
   */
  async deployment(keys: { fingerprint: string; isNew: boolean }, now: number): Promise<DeploymentIds> {
    const keyFingerprint = keys.fingerprint;
    return await this.transaction(async ({ settings }) => {
      if (!keys.isNew && (await settings.read("key_fingerprint")) === undefined) {
        throw new ServerError("ERR_STORE_DAMAGED", "The database is empty, but there is a key file from before", {
          why: "a deployment was here whose database is lost",
          nextSteps: ["restore coder.db from a backup", "to begin a new deployment, remove keys.json and coder.db"],
        });
      }
      const fingerprint = await settings.establish("key_fingerprint", keyFingerprint);
      if (fingerprint !== keyFingerprint) {
        throw new ServerError("ERR_KEY_FILE", "The key file does not belong to this database", {
          why: "the agent tokens in the database were made with another key",
          nextSteps: ["restore keys.json and coder.db from the same backup"],
        });
      }
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
    await this.#db.destroy();
    // Before the first query kysely has not taken the database over, and does not close it.
    if (this.#sqlite.isOpen) this.#sqlite.close();
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
    agentLogs: new AgentLogs(db),
    agentScripts: new AgentScripts(db),
    connectionReports: new ConnectionReports(db),
    pendingAudit: new PendingAudit(db),
    portShares: new PortShares(db),
    appSessions: new AppSessions(db),
    apps: new Apps(db),
    userSettings: new UserSettings(db),
  };
}

function damaged(path: string, why: string, cause: unknown): ServerError {
  if (isDiskFull(cause)) {
    return new ServerError("ERR_STATE_DIR", `Cannot use the database "${path}"`, {
      why: "the disk is full",
      nextSteps: ["make room on that disk, then start again"],
      cause,
    });
  }
  return new ServerError("ERR_STORE_DAMAGED", `Cannot use the database "${path}"`, {
    why,
    nextSteps: ["restore coder.db from a backup"],
    cause,
  });
}
