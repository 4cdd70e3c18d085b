/**
 * Which user used which app at this proxy since the last report to the primary. Pure. A use is a session: it begins with a
 * request and lasts while something is open; if it is reported twice, its id is the same. Uses that cannot be reported are kept,
 * in a bounded number of sessions and for as long as the primary would accept them; after that they are dropped and counted.
 */
import type { AppAccessMethod, AppUse } from "coder-protocol/rest/proxy-apps";

/** Maximum number of sessions in one report. */
const MAX_BATCH = 1_024;
const MAX_SESSIONS = 4_096;
/** The primary counts uses of what it granted within the last 16 minutes. */
const KEEP_MS = 15 * 60_000;

export interface UsedApp {
  readonly userId: string;
  readonly workspaceId: string;
  readonly agentId: string;
  readonly method: AppAccessMethod;
  /** "" for a terminal. */
  readonly slugOrPort: string;
}

interface Session {
  readonly id: string;
  readonly app: UsedApp;
  readonly startedAt: number;
  lastAt: number;
  open: number;
  /** Requests that have not been reported. */
  requests: number;
  /** The part of them in the report in progress. */
  sent: number;
  /** The time of the first unreported request. */
  unreportedSince: number;
}

export class AppUses {
  /** By app and user, those reported most recently last. */
  readonly #sessions = new Map<string, Session>();
  readonly #newId: () => string;
  #underWay: readonly Session[] = [];
  /** When the report in progress was taken. */
  #takenAt = 0;
  /** The number of requests that were reported, and that were dropped. */
  readonly counts = { reported: 0, dropped: 0 };

  constructor(newId: () => string) {
    this.#newId = newId;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** @param now The time of day, as in the other functions. Returns a function to call once, when the use is over. */
  begin(app: UsedApp, now: number): (now: number) => void {
    const key = keyOf(app);
    let session = this.#sessions.get(key);
    if (session === undefined && this.#sessions.size >= MAX_SESSIONS) {
      this.counts.dropped++;
      return () => undefined;
    }
    if (session === undefined) {
      session = {
        id: this.#newId(),
        app,
        startedAt: now,
        lastAt: now,
        open: 0,
        requests: 0,
        sent: 0,
        unreportedSince: now,
      };
      this.#sessions.set(key, session);
    }
    const used = session;
    if (used.requests === 0) used.unreportedSince = now;
    used.requests++;
    used.open++;
    used.lastAt = now;
    return (at) => {
      used.open--;
      used.lastAt = at;
    };
  }

  /**
   * The next report, starting with those reported longest ago; empty if there is nothing to report. Call one of the three
   * functions below afterwards.
   */
  take(now: number, max = MAX_BATCH): AppUse[] {
    this.#dropOld(now);
    const batch = [...this.#sessions.values()].slice(0, Math.min(max, MAX_BATCH));
    for (const session of batch) session.sent = session.requests;
    this.#underWay = batch;
    this.#takenAt = now;
    return batch.map((session) => useOf(session, now));
  }

  /** The primary has accepted the report. */
  reported(): void {
    for (const session of this.#underWay) this.#settle(session, "reported");
    this.#underWay = [];
  }

  /** The primary does not want the report. */
  refused(): void {
    for (const session of this.#underWay) this.#settle(session, "dropped");
    this.#underWay = [];
  }

  /** Whether the primary received the report is unknown, so it is sent again. */
  failed(): void {
    for (const session of this.#underWay) session.sent = 0;
    this.#underWay = [];
  }

  #settle(session: Session, as: "reported" | "dropped"): void {
    this.counts[as] += session.sent;
    session.requests -= session.sent;
    session.sent = 0;
    session.unreportedSince = this.#takenAt;
    const key = keyOf(session.app);
    this.#sessions.delete(key);
    if (session.open > 0 || session.requests > 0) this.#sessions.set(key, session);
  }

  #dropOld(now: number): void {
    for (const [key, session] of this.#sessions) {
      if (session.requests === 0 || now - session.unreportedSince < KEEP_MS) continue;
      this.counts.dropped += session.requests;
      session.requests = 0;
      if (session.open === 0) this.#sessions.delete(key);
    }
  }
}

function useOf({ app, id, lastAt, open, requests, startedAt }: Session, now: number): AppUse {
  return {
    user_id: app.userId,
    workspace_id: app.workspaceId,
    agent_id: app.agentId,
    access_method: app.method,
    slug_or_port: app.slugOrPort,
    session_id: id,
    session_started_at: new Date(startedAt).toISOString(),
    session_ended_at: new Date(open > 0 ? now : lastAt).toISOString(),
    requests,
  };
}

function keyOf({ userId, workspaceId, agentId, method, slugOrPort }: UsedApp): string {
  return JSON.stringify([userId, workspaceId, agentId, method, slugOrPort]);
}
