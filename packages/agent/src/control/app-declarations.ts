/**
 * Apps that the machine declares by itself: those of the command line and of a file, which is read again when it changes. They
 * replace what this agent declared before.
 */
import { type FSWatcher, watch } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { MAX_AGENT_APPS_BYTES } from "coder-protocol/rest/workspace-apps";
import { abortable } from "wg-userspace/async/abort";
import type { Logger } from "wg-userspace/base/ports";

const PATH = "/api/v2/workspaceagents/me/apps";
/** The system reports changes in the folder; this is for folders that it does not watch, or that come later. */
const LOOK_EVERY_MS = 60_000;
/** After a report, for what belongs together; and before a deployment that did not answer is asked again. */
const SETTLE_MS = 100;
const AGAIN_MS = 5_000;
const NOT_FOUND = 404;
/** The deployment refuses what it was sent; sending it again would change nothing. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 422]);

export interface AppDeclarationsOptions {
  readonly deployment: Pick<Deployment, "call">;
  /** Apps of the command line, in the form of the API. */
  readonly given: readonly object[];
  readonly file: string | undefined;
  readonly logger: Logger;
  /** The deployment took a list. */
  readonly onDeclared: () => void;
  /** Between two looks at the file without a report of the system. */
  readonly lookEveryMs?: number;
}

type FileState = { readonly seen: string; readonly apps: readonly unknown[] };
const NO_FILE: FileState = { seen: "", apps: [] };

export class AppDeclarations {
  readonly #options: AppDeclarationsOptions;
  #file: FileState = NO_FILE;
  #watcher: FSWatcher | undefined;
  #changed = false;
  #wake: () => void = () => undefined;

  constructor(options: AppDeclarationsOptions) {
    this.#options = options;
  }

  /** Runs until the signal, or until the deployment turns out to know no such declarations. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    let declared: FileState | undefined;
    let notBefore = 0;
    const { lookEveryMs = LOOK_EVERY_MS } = this.#options;
    const againMs = Math.min(lookEveryMs, AGAIN_MS);
    try {
      while (!signal.aborted) {
        this.#watch();
        this.#file = await this.#look();
        // However often the file changes, a deployment that refuses or does not answer is left alone for a while.
        if (declared !== this.#file && performance.now() >= notBefore) {
          const current = this.#file;
          const outcome = await this.#declare(current.apps, signal);
          if (outcome === "unknown") return;
          if (outcome === "done") declared = current;
          else notBefore = performance.now() + againMs;
        }
        const waitMs = declared === this.#file ? lookEveryMs : notBefore - performance.now();
        await this.#nextLook(Math.max(0, Math.ceil(waitMs)), signal);
      }
    } finally {
      this.#watcher?.close();
    }
  }

  /** Before the look that follows, so that nothing is missed between the two. */
  #watch(): void {
    const { file } = this.#options;
    if (this.#watcher !== undefined || file === undefined) return;
    const stop = (): void => {
      this.#watcher?.close();
      this.#watcher = undefined;
    };
    try {
      const own = new Set([basename(file), basename(dirname(file))]);
      this.#watcher = watch(dirname(file), { persistent: false }, (event, name) => {
        if (name !== null && !own.has(name)) return; // a neighbour
        this.#changed = true;
        this.#wake();
        // The folder itself may be another one now.
        if (event === "rename") stop();
      }).on("error", stop);
    } catch {
      // There is no such folder, or the system watches no more of them: it is looked at now and then.
    }
  }

  /** Resolves after `ms`, or soon after the system reported a change, or at the signal. */
  async #nextLook(ms: number, signal: AbortSignal): Promise<void> {
    await abortable<void>(signal, (resolve) => {
      let timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        this.#wake = () => undefined;
        clearTimeout(timer);
        timer = setTimeout(resolve, SETTLE_MS).unref();
      };
      if (this.#changed) this.#wake();
      return () => {
        clearTimeout(timer);
        this.#wake = () => undefined;
      };
    }).catch(() => undefined); // aborted: the loop ends
    this.#changed = false;
  }

  /** The file as it is now; the same object while it did not change. What cannot be read leaves what was there. */
  async #look(): Promise<FileState> {
    const { file, logger } = this.#options;
    if (file === undefined) return this.#file;
    const facts = await stat(file).catch(() => undefined);
    if (facts === undefined) return this.#file.seen === "" ? this.#file : NO_FILE;
    const seen = `${facts.mtimeMs} ${facts.size} ${facts.ino}`;
    if (seen === this.#file.seen) return this.#file;
    const kept = { seen, apps: this.#file.apps };
    try {
      if (!facts.isFile()) throw new Error("it is no ordinary file");
      if (facts.size > MAX_AGENT_APPS_BYTES) throw new Error(`it has more than ${MAX_AGENT_APPS_BYTES} bytes`);
      return { seen, apps: appsOf(JSON.parse(await readFile(file, "utf8"))) };
    } catch (error) {
      logger.log("warn", "the file of apps cannot be used; what it declared before stays", {
        file,
        why: error instanceof Error ? error.message : String(error),
      });
      return kept;
    }
  }

  async #declare(apps: readonly unknown[], signal: AbortSignal): Promise<"done" | "again" | "unknown"> {
    const { deployment, given, logger, onDeclared } = this.#options;
    try {
      const answer = await deployment.call(PATH, { method: "PUT", body: { apps: [...given, ...apps] }, signal });
      for (const { slug, reason } of ignoredOf(answer))
        logger.log("warn", "the deployment ignores an app that this machine declares", { slug, reason });
      onDeclared();
      return "done";
    } catch (error) {
      const status = error instanceof ClientError ? error.status : undefined;
      if (status === NOT_FOUND) {
        logger.log("debug", "the deployment takes no apps from agents");
        return "unknown";
      }
      const why = error instanceof Error ? error.message : String(error);
      const refused = status !== undefined && REFUSALS.has(status);
      logger.log(refused ? "warn" : "debug", "the apps of this machine were not declared", { why });
      return refused ? "done" : "again";
    }
  }
}

/** A list, or an object with the list as `apps`. */
function appsOf(value: unknown): readonly unknown[] {
  const list = Array.isArray(value) ? value : (value as { apps?: unknown } | null)?.apps;
  if (Array.isArray(list)) return list;
  throw new Error('it holds neither a list of apps nor {"apps": […]}');
}

function ignoredOf(answer: unknown): { readonly slug: string; readonly reason: string }[] {
  const ignored = (answer as { ignored?: unknown } | null)?.ignored;
  if (!Array.isArray(ignored)) return [];
  return ignored.flatMap((each: { slug?: unknown; reason?: unknown } | null) =>
    typeof each?.slug === "string" && typeof each.reason === "string"
      ? [{ slug: each.slug.slice(0, 64), reason: each.reason.slice(0, 256) }]
      : [],
  );
}
