/**
 * Checks the proxies, each at its interval. If there are several servers, only one at a time checks a proxy, and all use the
 * result.
 */
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { Store, Tables } from "../db/store.ts";
import { checkDueAt, healthColumns, healthOf, type Observation, observed, type ProxyHealth } from "./health-state.ts";
import type { ProxyDirectory } from "./proxy-directory.ts";
import { isAttended, UNCONFIRMED_MS } from "./proxy-presence.ts";

/** How often to look for proxies whose check is due. */
const SCAN_EVERY_MS = 2_500;
const PARALLEL = 5;
/**
 * After a server has begun to check a proxy, no other check begins for this long, which is as long as a check lasts. A requested
 * check has to wait only for the shorter time.
 */
const CLAIM_MS = 6_000;
const ASKED_CLAIM_MS = 1_000;
/** If an event of another server is lost, the proxies are read again after this time. */
const REFRESH_MS = 60_000;

export interface ProxyChecksOptions {
  readonly store: Store;
  readonly directory: Pick<ProxyDirectory, "all" | "isCurrent" | "refresh" | "changed">;
  readonly intervalMs: number;
  readonly check: (url: string) => Promise<Observation>;
  readonly clock: WallClock;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Called with the seconds that each check took. */
  readonly onCheck?: (seconds: number) => void;
}

export class ProxyChecks {
  readonly #options: ProxyChecksOptions;
  readonly #running = new Map<string, Promise<void>>();
  /** Proxies that will be checked as soon as there is room. */
  readonly #waiting = new Map<string, "due" | "asked">();
  /** Checks that were requested just after another one began. */
  readonly #postponed = new Map<string, NodeJS.Timeout>();
  #timer: NodeJS.Timeout | undefined;
  #refreshedAt = performance.now();
  /** A check failed because of the store: none begins until the proxies have been read again. */
  #isSuspended = false;
  #closing = false;

  constructor(options: ProxyChecksOptions) {
    this.#options = options;
  }

  /** Whether checks wait for the store. */
  get isSuspended(): boolean {
    return this.#isSuspended;
  }

  start(): void {
    this.#timer = setInterval(() => this.#startDue(), Math.min(SCAN_EVERY_MS, this.#options.intervalMs));
    this.#timer.unref();
  }

  /**
   * Checks this proxy next. If a check has just begun, another follows a second later, because the first may have reached a
   * process that is gone.
   */
  checkSoon(id: string): void {
    if (this.#closing) return;
    clearTimeout(this.#postponed.get(id));
    this.#postponed.delete(id);
    this.#waiting.set(id, "asked");
    this.#fill();
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#timer);
    for (const timer of this.#postponed.values()) clearTimeout(timer);
    this.#postponed.clear();
    this.#waiting.clear();
    await Promise.all(this.#running.values());
  }

  #startDue(): void {
    const { directory, clock, intervalMs } = this.#options;
    if (this.#isSuspended) return void this.#resume();
    if (performance.now() - this.#refreshedAt >= REFRESH_MS) {
      this.#refreshedAt = performance.now();
      void directory.refresh();
    }
    const now = clock.now();
    for (const row of directory.all)
      if (row.url !== "" && !this.#waiting.has(row.id) && now >= checkDueAt(healthOf(row), intervalMs))
        this.#waiting.set(row.id, "due");
    this.#fill();
  }

  async #resume(): Promise<void> {
    const { directory } = this.#options;
    await directory.refresh();
    if (this.#closing || !this.#isSuspended || !directory.isCurrent) return;
    this.#isSuspended = false;
    this.#fill();
  }

  /** The check is repeated when the store answers again. Logs one line per outage. */
  #suspend(id: string, why: "due" | "asked", error: unknown): void {
    if (!this.#isSuspended) this.#options.log.error({ err: error }, "a workspace proxy was not checked");
    this.#isSuspended = true;
    if (!this.#closing) this.#waiting.set(id, why);
  }

  #fill(): void {
    for (const [id, why] of this.#waiting) {
      if (this.#isSuspended || this.#running.size >= PARALLEL) return;
      if (this.#running.has(id)) continue;
      this.#waiting.delete(id);
      const run = this.#run(id, why)
        .catch((error: unknown) => this.#suspend(id, why, error))
        .finally(() => {
          this.#running.delete(id);
          if (!this.#closing) this.#fill();
        });
      this.#running.set(id, run);
    }
  }

  async #run(id: string, why: "due" | "asked"): Promise<void> {
    const { store, directory, clock, intervalMs, check, onCheck } = this.#options;
    const row = await store.workspaceProxies.byId(id);
    if (row === undefined || row.url === "") return;
    const now = clock.now();
    // Another server may have checked the proxy, or be about to.
    if (why === "due" && now < checkDueAt(healthOf(row), intervalMs)) return await directory.refresh();
    const claimedForMs = Math.min(intervalMs, why === "asked" ? ASKED_CLAIM_MS : CLAIM_MS);
    const isClaimed = now - row.check_claimed_at < claimedForMs;
    if (isClaimed || !(await store.workspaceProxies.claimCheck(id, row.check_claimed_at, now))) {
      if (why === "asked") this.#postpone(id, Math.min(intervalMs, ASKED_CLAIM_MS));
      return;
    }
    // If no process of the proxy is registered, its address is not requested, because the answer would not be the proxy's.
    const asked = await attended(store, row, now);
    const startedAt = performance.now();
    const answer = asked ? await check(row.url) : undefined;
    if (asked) onCheck?.((performance.now() - startedAt) / 1_000);
    if (await this.#conclude(row, answer)) await directory.changed();
    else await directory.refresh();
  }

  #postpone(id: string, forMs: number): void {
    if (this.#closing || this.#postponed.has(id)) return;
    const timer = setTimeout(() => this.checkSoon(id), forMs);
    timer.unref();
    this.#postponed.set(id, timer);
  }

  /**
   * Whether anything but the time of the check is new.
   * @param answer Undefined if no process of the proxy was registered, so that it was not checked.
   */
  async #conclude(checked: WorkspaceProxyRow, answer: Observation | undefined): Promise<boolean> {
    const { store, clock, log } = this.#options;
    const found = await store.transaction(async (tables) => {
      const row = await tables.workspaceProxies.locked(checked.id);
      if (row === undefined || !isAsItWas(row, checked)) return undefined;
      const now = clock.now();
      const isThere = await attended(tables, row, now);
      if (isThere && answer === undefined) return undefined; // it has just registered and requested a check of its own
      const before = healthOf(row);
      const observation: Observation = isThere && answer !== undefined ? answer : { kind: "unattended" };
      const after = observed(before, observation, row.derp_enabled === 1, now);
      await tables.workspaceProxies.update(row.id, healthColumns(after));
      return { before, after };
    });
    if (found === undefined) return true;
    const { before, after } = found;
    const facts = { proxy: checked.name, url: checked.url, status: after.status, errors: after.errors };
    if (before.status !== after.status) {
      if (after.status === "ok") log.info(facts, "a workspace proxy is well");
      else log.warn(facts, "a workspace proxy is not well");
    }
    if (before.inMap !== after.inMap)
      log.info(
        { proxy: checked.name },
        after.inMap
          ? "a workspace proxy's region comes into the relay map"
          : "a workspace proxy's region leaves the relay map",
      );
    return textOf(before) !== textOf(after);
  }
}

/** Whether no check, end, move or new token was recorded while the proxy was being checked; otherwise the answer is outdated. */
function isAsItWas(row: WorkspaceProxyRow, checked: WorkspaceProxyRow): boolean {
  return (
    row.url === checked.url &&
    row.token_generation === checked.token_generation &&
    row.health_at === checked.health_at &&
    row.health === checked.health
  );
}

async function attended(
  { workspaceProxies }: Pick<Tables, "workspaceProxies">,
  row: WorkspaceProxyRow,
  now: number,
): Promise<boolean> {
  const replicas = await workspaceProxies.replicas(row.id, now - UNCONFIRMED_MS);
  return isAttended(row.in_map === 1, replicas, now);
}

function textOf({ checkedAt: _, ...health }: ProxyHealth): string {
  return JSON.stringify(health);
}
