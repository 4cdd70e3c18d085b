/** How the services share the threads of the pool: file operations, look-ups of names, and a few for what must never wait. */
import { lookup } from "node:dns/promises";
import { stat } from "node:fs/promises";
import type { LookupFunction } from "node:net";
import { threadPoolSize } from "../os/thread-pool.ts";
import { ThreadTurns, type TurnLimits } from "./thread-turns.ts";
import { type Volume, Volumes } from "./volumes.ts";

/** A file system that has not answered after this time is treated as one that never will. */
const ANSWER_MS = 5_000;
/** Bound on file systems, or where these are not known paths, that are being asked. */
const MAX_ASKED = 64;
/** How long a look-up may wait for its turn: no dial takes longer. */
const LOOKUP_WAIT_MS = 15_000;

/**
 * Runs an operation on files, which are at these absolute paths, when it is its turn.
 * @param always Also if the client has left by then; otherwise it rejects.
 */
export type FileTurn = <T>(paths: readonly string[], operation: () => Promise<T>, always?: boolean) => Promise<T>;

/** Where a service finds out about paths. */
export type VolumeFinder = Pick<Volumes, "of">;

export interface ThreadSharesOptions {
  /** Size of the pool. */
  readonly threads?: number;
  readonly volumes?: VolumeFinder;
  /** Examines a path; how it ends does not matter. */
  readonly examine?: (path: string) => Promise<unknown>;
  readonly answerMs?: number;
}

export class ThreadShares {
  readonly #files: ThreadTurns;
  readonly #lookups: ThreadTurns;
  readonly #probes: ThreadTurns;
  readonly #volumes: VolumeFinder;
  readonly #examine: (path: string) => Promise<unknown>;
  readonly #answerMs: number;
  /** By file system, or else by path: a question that is not answered is not asked again. */
  readonly #asked = new Map<string, Promise<boolean>>();

  constructor(options: ThreadSharesOptions = {}) {
    const limits = limitsOf(options.threads ?? threadPoolSize());
    this.#files = new ThreadTurns(limits.files);
    this.#lookups = new ThreadTurns(limits.lookups);
    this.#probes = new ThreadTurns(limits.probes);
    this.#volumes = options.volumes ?? new Volumes();
    this.#examine = options.examine ?? stat;
    this.#answerMs = options.answerMs ?? ANSWER_MS;
  }

  /** Whether an operation has not ended. */
  get isBusy(): boolean {
    return this.#files.running + this.#lookups.running + this.#probes.running > 0;
  }

  /** The file system of a path, for {@link onVolumes}. */
  volumeOf(path: string | Buffer): string | undefined {
    return this.#volumes.of(path)?.id;
  }

  /** Runs an operation on files in the client's turn, and in that of each file system that it may wait for. */
  onVolumes<T>(
    client: string,
    volumes: readonly (string | undefined)[],
    operation: () => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const known = new Set(volumes.filter((volume) => volume !== undefined));
    return this.#files.run({ client, volumes: [...known] }, operation, signal);
  }

  /** Like {@link onVolumes}, for absolute paths. */
  onPaths<T>(
    client: string,
    paths: readonly (string | Buffer)[],
    operation: () => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    return this.onVolumes(
      client,
      paths.map((path) => this.volumeOf(path)),
      operation,
      signal,
    );
  }

  /** Looks up the names that a client wants to reach, for connections of Node. */
  lookupFor(client: string): LookupFunction {
    return (hostname, options, done) => {
      this.#lookups
        .run({ client }, () => lookup(hostname, { ...options, all: true }), AbortSignal.timeout(LOOKUP_WAIT_MS))
        .then(
          (found) => {
            if (options.all === true) done(null, found);
            else done(null, found[0]!.address, found[0]!.family);
          },
          (error: Error) => done(error.name === "TimeoutError" ? tooBusy(hostname) : error, ""),
        );
    };
  }

  /** Whether the answer of one of the paths' file systems has to be waited for; see {@link silent}. */
  maySilence(paths: readonly string[]): boolean {
    return paths.some((path) => this.#volumes.of(path)?.maySilence !== false);
  }

  /**
   * Those of the paths whose file systems do not answer. Nothing may touch these on the main thread: it would stop the whole agent.
   * @param paths Absolute.
   */
  async silent(paths: readonly string[]): Promise<ReadonlySet<string>> {
    const answers = await Promise.all(paths.map((path) => this.answers(path)));
    return new Set(paths.filter((_, index) => answers[index] === false));
  }

  /** Whether the file system of a path answers, which one of the kernel's own always does. */
  async answers(path: string): Promise<boolean> {
    const volume = this.#volumes.of(path);
    if (volume?.maySilence === false) return true;
    const pending = this.#asked.get(volume?.id ?? path) ?? this.#ask(path, volume);
    if (pending === undefined) return false;
    const { promise: late, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), this.#answerMs);
    try {
      return await Promise.race([pending, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #ask(path: string, volume: Volume | undefined): Promise<boolean> | undefined {
    if (this.#asked.size >= MAX_ASKED) return undefined;
    const key = volume?.id ?? path;
    const asking = this.#probes
      .run({ client: key }, () => this.#examine(path))
      .then(
        () => true,
        () => true, // an error is an answer
      );
    this.#asked.set(key, asking);
    void asking.then(() => this.#asked.delete(key));
    return asking;
  }
}

let shares: ThreadShares | undefined;

/** Those of this process. */
export function threadShares(): ThreadShares {
  shares ??= new ThreadShares();
  return shares;
}

/**
 * libuv itself gives look-ups at most half of the threads, so that file operations go on; here it is the other way round as well.
 */
function limitsOf(threads: number): { readonly [share in "files" | "lookups" | "probes"]: TurnLimits } {
  const files = threads < 16 ? Math.max(1, threads - 1) : Math.floor((threads * 9) / 16);
  const lookups = Math.max(1, Math.floor((threads * 5) / 16));
  const probes = Math.max(1, Math.floor(threads / 8));
  const perVolume = Math.max(2, Math.floor(files / 6));
  return {
    // A client may be a server with many people behind it: what hangs on one file system leaves it turns on others.
    files: { total: files, perClient: threads < 16 ? 2 : perVolume + 2, perVolume },
    lookups: { total: lookups, perClient: Math.max(1, Math.floor(lookups / 5)), perVolume: lookups },
    probes: { total: probes, perClient: 1, perVolume: probes },
  };
}

function tooBusy(hostname: string): NodeJS.ErrnoException {
  const error = new Error(`the name ${JSON.stringify(hostname)} waited too long for its look-up`);
  return Object.assign(error, { code: "EAI_AGAIN" });
}
