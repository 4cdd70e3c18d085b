/**
 * The `require` of an installed command, which keeps V8's code of its bundles between starts. Node's own compile cache holds
 * what is compiled before a bundle runs; here the functions that a command used are in it as well, which are most of the
 * work. Without a folder to keep it in, a start is slower and nothing else, so no failure here is worth a word.
 */
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cachedDataVersionTag } from "node:v8";
import type { Script } from "node:vm";
import { cacheFolder } from "../base/cache-folder.ts";
import { decodeKept, encodeKept, type KeptCode, type Outcome, outcomeOf, wayOf } from "./kept-code.ts";
import { requireFrom } from "./require-from.ts";

/** A command that runs for longer keeps what it used until then: later, V8 has dropped code that was used at the start. */
const AFTER_MS = 3_000;
const KEPT_DAYS = 30;
/** A bundle has a file for each command that loads it. */
const MAX_FILES = 200;

export interface Installation {
  /** Of the bundles. */
  readonly folder: string;
  /** Changes with the text of any bundle: V8 looks at the length alone. */
  readonly build: string;
  readonly argv: readonly string[];
  /** Options of Node on its command line. */
  readonly execArgv: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly uid: number | undefined;
  /** Node's own. */
  readonly require: (name: string) => unknown;
  readonly resolve: (name: string) => string;
}

/** A bundle's kept code: that of this command, else that of lines that were not understood, which is in every other. */
interface Kept {
  readonly own: KeptCode | undefined;
  readonly any: KeptCode | undefined;
}

interface LoadedBundle {
  readonly script: Script;
  /** Where its code is kept. */
  readonly files: Readonly<Record<keyof Kept, string>>;
  readonly stamp: string;
  /** What was found there, unless V8 refused it. */
  readonly kept: Kept;
}

const NOTHING: Kept = { own: undefined, any: undefined };

export function requireInstalled(installation: Installation): (name: string) => unknown {
  const { folder, argv, require: load } = installation;
  const place = placeOf(installation);
  if (place === undefined) return load;
  const way = wayOf(argv);
  let loaded: LoadedBundle[] = [];
  const found = new Map<string, Kept>();
  const filesOf = (name: string) => ({ own: `${place}-${name}-${way}`, any: `${place}-${name}-` });
  const keepAll = (exit: number): void => {
    for (const bundle of loaded) keep(bundle, outcomeOf(exit));
    loaded = [];
  };
  process.on("exit", (code) => {
    if (process.uptime() * 1000 < AFTER_MS) keepAll(code);
  });
  setTimeout(() => keepAll(0), AFTER_MS).unref();
  return requireFrom({
    folder,
    text: (name) => readOr(join(folder, name))?.toString("utf8"),
    compiled(name) {
      const { own, any } = filesOf(name);
      const stamp = stampOf(join(folder, name));
      const kept = readKept(own, stamp);
      found.set(name, { own: kept, any: kept === undefined ? readKept(any, stamp) : undefined });
      return (kept ?? found.get(name)?.any)?.code;
    },
    onCompiled(name, script) {
      const kept = script.cachedDataRejected === true ? NOTHING : found.get(name)!;
      loaded.push({ script, files: filesOf(name), stamp: stampOf(join(folder, name)), kept });
    },
    native: () => undefined,
    builtin: load,
    resolve: installation.resolve,
  });
}

/** The beginning of the names of files. Undefined where none may be used, or none is wanted. */
function placeOf(installation: Installation): string | undefined {
  const { build, environment, uid } = installation;
  const { NODE_DISABLE_COMPILE_CACHE: disabled = "", NODE_V8_COVERAGE: coverage = "" } = environment;
  const folder = disabled === "" && coverage === "" ? cacheFolder("compiled", environment, uid) : undefined;
  return folder && join(folder, `${build.slice(0, 16)}-${process.version}-${process.arch}${flagsTag(installation)}`);
}

/** V8 refuses code that was made with other flags. */
function flagsTag({ execArgv, environment }: Installation): string {
  const isPlain = execArgv.length === 0 && (environment["NODE_OPTIONS"] ?? "") === "";
  return isPlain ? "" : `-${cachedDataVersionTag().toString(16)}`;
}

/** Of a bundle that somebody changed by hand. */
function stampOf(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${size}-${mtimeMs}`;
}

function readOr(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function readKept(file: string, stamp: string): KeptCode | undefined {
  const bytes = readOr(file);
  return bytes && decodeKept(bytes, stamp);
}

function keep({ script, files, stamp, kept: { own, any } }: LoadedBundle, outcome: Outcome): void {
  // A word that names no command gets no file of its own: there is no end of them.
  const [file, before] = outcome === "usage" ? [files.any, any ?? own] : [files.own, own];
  if (before?.outcomes.includes(outcome) === true || (outcome === "usage" && before !== undefined)) return;
  const outcomes = [...(before?.outcomes ?? []), outcome];
  const draft = `${file}.${process.pid}`;
  try {
    if (before === undefined && removeOld(dirname(file)) >= MAX_FILES) return;
    const content = encodeKept(stamp, { outcomes, code: script.createCachedData() });
    writeFileSync(draft, content, { flag: "wx", mode: 0o600 });
    renameSync(draft, file);
  } catch {
    rmSync(draft, { force: true }); // a full disk, or another process that is quicker
  }
}

/**
 * What earlier versions kept, and drafts of processes that were killed. Where it is still in use it is made again.
 * @returns how many files are left.
 */
function removeOld(folder: string): number {
  const before = Date.now() - KEPT_DAYS * 86_400_000;
  const names = readdirSync(folder);
  const old = names.map((name) => join(folder, name)).filter((path) => statSync(path).mtimeMs < before);
  for (const path of old) rmSync(path, { recursive: true, force: true });
  return names.length - old.length;
}
