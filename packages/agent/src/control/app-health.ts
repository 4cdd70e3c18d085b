/**
 * The health of declared apps: each is checked at its interval, and changes are reported to the deployment. Outlives connections;
 * every connection begins with a report of all.
 */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import type { RpcSession } from "coder-protocol/drpc/async";
import { Agent, WorkspaceApp_Health as Health, type Manifest } from "coder-protocol/gen/agent_pb.js";
import { sleep } from "wg-userspace/async/abort";
import { Bell } from "wg-userspace/async/bell";
import type { Schedule } from "../host/schedule.ts";
import { isUnknownRpc } from "./unknown-rpc.ts";

/** Time between two reports, which combines changes. */
const REPORT_EVERY_MS = 1_000;
/** How often the manifest is fetched, since apps may be declared and removed while the agent is connected. */
const REFRESH_MS = 60_000;
const MAX_APPS = 64;
const MIN_INTERVAL_MS = 1_000;
const MAX_INTERVAL_MS = 86_400_000;

export interface AppHealthOptions {
  /** Whether the program at an address serves. Never rejects. */
  readonly check: (url: string, signal: AbortSignal) => Promise<boolean>;
  readonly schedule: Schedule;
  /** Wall clock, ms. */
  readonly now: () => number;
}

interface CheckedApp {
  readonly id: string;
  readonly url: string;
  readonly intervalMs: number;
  /** Consecutive failures after which the app is unhealthy. */
  readonly threshold: number;
}

interface Watched {
  readonly app: CheckedApp;
  readonly cancel: AbortController;
  failures: number;
  health: Health;
  forget: () => void;
}

export class AppHealth {
  readonly #options: AppHealthOptions;
  readonly #watched = new Map<string, Watched>();
  /** Ids of apps whose present health was not reported yet. */
  readonly #unreported = new Set<string>();
  readonly #changed = new Bell();
  readonly #refresh = new Bell();
  #closed = false;

  constructor(options: AppHealthOptions) {
    this.#options = options;
  }

  /** Sets the apps to check from now on. An unchanged app keeps its schedule and its state. */
  update(apps: Manifest["apps"]): void {
    if (this.#closed) return;
    const wanted = new Map(checkedApps(apps).map((app) => [app.id, app]));
    for (const [id, watched] of this.#watched) {
      const next = wanted.get(id);
      if (next !== undefined && same(next, watched.app)) wanted.delete(id);
      else this.#end(watched);
    }
    for (const app of wanted.values()) {
      const cancel = new AbortController();
      const watched = { app, cancel, failures: 0, health: Health.INITIALIZING, forget: () => undefined };
      this.#watched.set(app.id, watched);
      void this.#check(watched);
    }
  }

  /** Soon fetches the list of declared apps. */
  refresh(): void {
    this.#refresh.ring();
  }

  /** Reports over one connection until the signal aborts. Rejects when a report fails; the next connection reports everything. */
  send(rpc: RpcSession, signal: AbortSignal): readonly Promise<void>[] {
    for (const id of this.#watched.keys()) this.#unreported.add(id);
    return [this.#report(rpc, signal), this.#follow(rpc, signal)];
  }

  close(): void {
    this.#closed = true;
    for (const watched of [...this.#watched.values()]) this.#end(watched);
  }

  async #report(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#unreported.size === 0) {
        await this.#changed.next(signal);
        continue;
      }
      const updates = [...this.#unreported].flatMap((id) => {
        const health = this.#watched.get(id)?.health;
        return health === undefined ? [] : [{ id: uuidToBytes(id), health }];
      });
      this.#unreported.clear();
      try {
        if (updates.length > 0) await rpc.unary(Agent.method.batchUpdateAppHealths, { updates }, { signal });
      } catch (error) {
        if (!isUnknownRpc(error)) throw error;
      }
      await sleep(REPORT_EVERY_MS, signal);
    }
  }

  async #follow(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#nextLook(signal);
      if (!signal.aborted) this.update((await rpc.unary(Agent.method.getManifest, {}, { signal })).apps);
    }
  }

  /** Resolves after a while, or as soon as a refresh is wanted. */
  async #nextLook(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    try {
      await Promise.race([sleep(REFRESH_MS, both), this.#refresh.next(both)]);
    } finally {
      over.abort();
    }
  }

  async #check(watched: Watched): Promise<void> {
    const { app, cancel } = watched;
    const startedAt = this.#options.now();
    const limit = AbortSignal.any([cancel.signal, AbortSignal.timeout(app.intervalMs)]);
    const serves = await this.#options.check(app.url, limit);
    if (cancel.signal.aborted) return;
    watched.failures = serves ? 0 : watched.failures + 1;
    if (serves) this.#set(watched, Health.HEALTHY);
    else if (watched.failures >= app.threshold) this.#set(watched, Health.UNHEALTHY);
    // The wall clock may jump, so the wait is limited to one interval.
    const passed = Math.max(0, this.#options.now() - startedAt);
    watched.forget = this.#options.schedule(() => void this.#check(watched), Math.max(0, app.intervalMs - passed));
  }

  #set(watched: Watched, health: Health): void {
    if (watched.health === health) return;
    watched.health = health;
    this.#unreported.add(watched.app.id);
    this.#changed.ring();
  }

  #end(watched: Watched): void {
    watched.forget();
    watched.cancel.abort();
    this.#watched.delete(watched.app.id);
    this.#unreported.delete(watched.app.id);
  }
}

function checkedApps(apps: Manifest["apps"]): CheckedApp[] {
  return apps
    .flatMap(({ id: bytes, healthcheck }): CheckedApp[] => {
      const id = uuidFromBytes(bytes);
      const { url = "", threshold = 0, interval } = healthcheck ?? {};
      const intervalMs = interval === undefined ? 0 : durationMs(interval);
      if (id === undefined || url === "" || threshold <= 0 || !(intervalMs > 0)) return [];
      return [{ id, url, threshold, intervalMs: Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS) }];
    })
    .slice(0, MAX_APPS);
}

function same(a: CheckedApp, b: CheckedApp): boolean {
  return a.url === b.url && a.intervalMs === b.intervalMs && a.threshold === b.threshold;
}
