/** Reports the uses of apps to the primary: one report at a time, at an interval, and a final one at the end. */
import type { ClientError } from "coder-client/base/client-error";
import type { AppUse } from "coder-protocol/rest/proxy-apps";
import type { AppUses } from "./app-uses.ts";

const REPORT_EVERY_MS = 30_000;
/** Sufficient for all sessions that are kept. */
const MAX_REPORTS_AT_ONCE = 8;
/**
 * Refusals that may be temporary: of a token that is being replaced, of a proxy that is not confirmed yet, and by a busy primary.
 */
const TRANSIENT: ReadonlySet<number> = new Set([401, 403, 408, 429]);

export interface UseReportsOptions {
  readonly uses: AppUses;
  /** Rejects like any request to the primary. */
  readonly tell: (stats: readonly AppUse[], isLast: boolean) => Promise<void>;
  /** The time of day in milliseconds. */
  readonly now: () => number;
  /** Called for each failed report, which will be repeated. */
  readonly onError: (error: unknown) => void;
}

export class UseReports {
  readonly #options: UseReportsOptions;
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<void> | undefined;

  constructor(options: UseReportsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.report(), REPORT_EVERY_MS).unref();
  }

  /** Reports what there is, unless a report is in progress. Never rejects. */
  report(): Promise<void> {
    this.#underWay ??= this.#reportAll(false).finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#underWay;
    await this.#reportAll(true);
  }

  async #reportAll(isLast: boolean): Promise<void> {
    const { uses, now } = this.#options;
    // A session that is open is reported only once in this call.
    let left = uses.size;
    for (let reports = 0; reports < MAX_REPORTS_AT_ONCE && left > 0; reports++) {
      const stats = uses.take(now(), left);
      left -= stats.length;
      if (stats.length === 0 || !(await this.#tell(stats, isLast))) return;
    }
  }

  /** Whether the primary answered. */
  async #tell(stats: readonly AppUse[], isLast: boolean): Promise<boolean> {
    const { uses, tell, onError } = this.#options;
    try {
      await tell(stats, isLast);
      uses.reported();
      return true;
    } catch (error) {
      const { status } = (error ?? {}) as Partial<ClientError>;
      if (status !== undefined && status >= 400 && status < 500 && !TRANSIENT.has(status)) uses.refused();
      else uses.failed();
      onError(error);
      return false;
    }
  }
}
