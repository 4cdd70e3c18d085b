/**
 * Apps that the machine itself declares: those of the command line and of a file, which is read again when it changes. Each
 * declaration replaces the agent's earlier one.
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
/** For folders that the system does not watch, or that are created later; otherwise the system reports changes. */
const LOOK_EVERY_MS = 60_000;
/**
 * Pause after a reported change, so that related ones are handled together, and before a deployment that did not answer is asked
 * again.
 */
const SETTLE_MS = 100;
const AGAIN_MS = 5_000;
const NOT_FOUND = 404;
/** Statuses with which the deployment refuses the content, so that sending it again is pointless. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 422]);

export interface AppDeclarationsOptions {
  readonly deployment: Pick<Deployment, "call">;
  /** Apps of the command line, in the API's form. */
  readonly given: readonly object[];
  readonly file: string | undefined;
  readonly logger: Logger;
  /** Called when the deployment has accepted a list. */
  readonly onDeclared: () => void;
  /** Time between two looks at the file when the system reports nothing. */
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

  /** Runs until the signal aborts, or until the deployment proves not to support declarations. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    let declared: FileState | undefined;
    let notBefore = 0;
    const { lookEveryMs = LOOK_EVERY_MS } = this.#options;
    const againMs = Math.min(lookEveryMs, AGAIN_MS);
    try {
      while (!signal.aborted) {
        this.#watch();
        this.#file = await this.#look();
        // However often the file changes, a deployment that refuses or does not answer gets a pause.
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

  /** Called before the next look at the file, so that no change in between is missed. */
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
        if (name !== null && !own.has(name)) return; // another file of the folder
        this.#changed = true;
        this.#wake();
        // The folder may have been replaced.
        if (event === "rename") stop();
      }).on("error", stop);
    } catch {
      // The folder does not exist, or the system allows no more watches: the file is polled instead.
    }
  }

  /** Resolves after `ms`, shortly after a reported change, or when the signal aborts. */
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

  /** The present state of the file; the same object if it did not change. An unreadable file leaves the earlier state. */
  async #look(): Promise<FileState> {
    const { file, logger } = this.#options;
    if (file === undefined) return this.#file;
    const facts = await stat(file).catch(() => undefined);
    if (facts === undefined) return this.#file.seen === "" ? this.#file : NO_FILE;
    const seen = `${facts.mtimeMs} ${facts.size} ${facts.ino}`;
    if (seen === this.#file.seen) return this.#file;
    const kept = { seen, apps: this.#file.apps };
    try {
      if (!facts.isFile()) throw new Error("it is not a regular file");
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

/** Accepts a list, or an object whose `apps` is the list. */
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
