import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { requireInstalled } from "./installed.ts";
import { encodeKept, type Outcome } from "./kept-code.ts";

const require = createRequire(import.meta.url);
const HOUR_S = 3600;

describe("the compiled code of an installed command", () => {
  let home: string;
  let folder: string;
  let before: NodeJS.ExitListener[];
  beforeEach(() => {
    vi.useFakeTimers();
    before = process.listeners("exit");
    home = mkdtempSync(join(tmpdir(), "coder-bundles-"));
    folder = join(home, "dist");
    mkdirSync(folder);
    write("a.cjs", 'exports.answer = () => require("./b.cjs").half * 2; exports.file = __filename;');
    write("b.cjs", "exports.half = 21;");
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    for (const listener of process.listeners("exit")) if (!before.includes(listener)) process.off("exit", listener);
    rmSync(home, { recursive: true, force: true });
  });

  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);

  /** One start of the command. Without an exit code it runs for long enough to keep what it compiled before it ends. */
  function start({
    exit = undefined as number | undefined,
    /** How long the process has run when it exits. */
    after = 0,
    /** What happens before the process exits. */
    meanwhile = (): void => undefined,
    argv = ["list"],
    isCommand = true,
    build = "0123456789abcdef0123",
    execArgv = [] as string[],
    environment = {} as NodeJS.ProcessEnv,
  } = {}) {
    const bundles = requireInstalled({
      folder,
      build,
      argv,
      execArgv,
      environment: { HOME: home, ...environment },
      uid: process.getuid?.(),
      require: (name) => (name.startsWith("./") ? require(join(folder, name)) : require(name)),
      resolve: (name) => join(folder, name),
    });
    const { answer, file } = bundles.require("./a.cjs") as { answer: () => number; file: string };
    if (isCommand) bundles.onCommand();
    const result = answer();
    if (exit === undefined) vi.advanceTimersByTime(10_000);
    else {
      vi.advanceTimersByTime(after);
      vi.spyOn(process, "uptime").mockReturnValue(0.1 + after / 1000);
      meanwhile();
      process.listeners("exit").at(-1)!(exit);
      vi.clearAllTimers();
    }
    return { result, file };
  }

  const place = (): string => join(home, ".cache/coder/compiled");
  const files = (): string[] => readdirSync(place()).sort();
  const outcomesIn = (file: string): unknown => {
    const [line = ""] = readFileSync(join(place(), file), "latin1").split("\n", 1);
    return (JSON.parse(line) as { outcomes: unknown }).outcomes;
  };

  it("is kept for each bundle and command, and found by the next start", () => {
    expect(start()).toEqual({ result: 42, file: join(folder, "a.cjs") });
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-list$/), expect.stringMatching(/-b\.cjs-list$/)]);
    const [a] = files();
    expect(outcomesIn(a!)).toEqual(["running"]);
    const first = readFileSync(join(place(), a!));
    expect(start().result).toBe(42);
    expect(readFileSync(join(place(), a!)).equals(first)).toBe(true);
    expect(start({ argv: ["ssh"] }).result).toBe(42);
    expect(files()).toHaveLength(4);
  });

  it("grows when a command that failed before succeeds", () => {
    for (const exit of [1, 1, 0, 1]) expect(start({ exit }).result).toBe(42);
    expect(files()).toHaveLength(2);
    expect(outcomesIn(files()[0]!)).toEqual(["failed", "ok"]);
  });

  it("grows when a command that was still running when it was kept succeeds", () => {
    for (const exit of [undefined, 0, undefined]) expect(start({ exit }).result).toBe(42);
    expect(files()).toHaveLength(2);
    expect(outcomesIn(files()[0]!)).toEqual(["running", "ok"]);
  });

  it("has nothing of the time after it was kept", () => {
    start({ exit: 0, after: 10_000 });
    expect(outcomesIn(files()[0]!)).toEqual(["running"]);
  });

  it("is one for all words that name no command", () => {
    const mistakes = [["nosuch"], ["Foo"], ["nosuch", "list"]];
    for (const argv of mistakes) expect(start({ argv, exit: 2, isCommand: false }).result).toBe(42);
    // Of one that a signal or a closed output ended, nothing is kept.
    expect(start({ argv: ["shh"], exit: 141, isCommand: false }).result).toBe(42);
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-$/), expect.stringMatching(/-b\.cjs-$/)]);
  });

  it("is the same on a machine so slow that a mistake takes seconds", () => {
    expect(start({ argv: ["nosuch"], exit: 2, after: 4_000, isCommand: false }).result).toBe(42);
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-$/), expect.stringMatching(/-b\.cjs-$/)]);
  });

  it("does not depend on what was started first: help and mistakes of a command are not with the words that name none", () => {
    start({ argv: [], exit: 0, isCommand: false });
    start({ argv: ["--verbose"], exit: 0, isCommand: false });
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-help$/), expect.stringMatching(/-b\.cjs-help$/)]);
    start({ argv: ["list", "--wrong"], exit: 2 });
    expect(files().filter((name) => name.endsWith("-"))).toEqual([]);
    expect(outcomesIn(files().at(-1)!)).toEqual(["usage"]);
  });

  it("has a bound, where other builds make room first, and the oldest of this one next", () => {
    const builds = [
      ["fedcba9876543210", 190],
      ["0123456789abcdef", 10],
    ] as const;
    mkdirSync(place(), { recursive: true, mode: 0o700 });
    for (const [build, count] of builds)
      for (let i = 0; i < count; i++) {
        const path = join(place(), `${build}-v1.0.0-x64-cli.cjs-${i}`);
        writeFileSync(path, "x");
        // The first are the oldest, and all of this build are older than those of the other.
        const hoursAgo = build === "fedcba9876543210" ? 190 - i : 300 - i;
        utimesSync(path, Date.now() / 1000 - hoursAgo * HOUR_S, Date.now() / 1000 - hoursAgo * HOUR_S);
      }
    const left = (build: string): number => files().filter((name) => name.startsWith(build)).length;
    expect(start().result).toBe(42);
    expect([left("fedcba9876543210"), left("0123456789abcdef")]).toEqual([188, 12]);
    expect(files()).not.toContain("fedcba9876543210-v1.0.0-x64-cli.cjs-1");
    expect(files()).toContain("fedcba9876543210-v1.0.0-x64-cli.cjs-2");
    for (const name of files()) {
      const own = join(place(), name.replace("fedcba9876543210", "0123456789abcdef"));
      if (name.startsWith("fedc")) renameSync(join(place(), name), own.replace("cli.cjs", "network.cjs"));
    }
    expect(start({ argv: ["ssh"] }).result).toBe(42);
    expect(files()).toHaveLength(200);
    expect(files().filter((name) => /cjs-(list|ssh)$/.test(name))).toHaveLength(4);
    expect(files()).not.toContain("0123456789abcdef-v1.0.0-x64-cli.cjs-1");
    expect(start({ exit: 1 }).result).toBe(42);
    expect(files()).toHaveLength(200);
    expect(outcomesIn(files().find((name) => name.endsWith("list"))!)).toEqual(["running", "failed"]);
  });

  it("is that of another build, or of a bundle that was changed, no more", () => {
    expect(start().result).toBe(42);
    write("b.cjs", "exports.half = 22;");
    utimesSync(join(folder, "b.cjs"), HOUR_S, HOUR_S);
    expect(start().result).toBe(44);
    // As a package manager may install it: of the same length, from the same time.
    write("b.cjs", "exports.half = 23;");
    utimesSync(join(folder, "b.cjs"), HOUR_S, HOUR_S);
    expect(start({ build: "fedcba9876543210fedc" }).result).toBe(46);
  });

  it("is made again where it was damaged", () => {
    expect(start().result).toBe(42);
    const [a] = files();
    const path = join(place(), a!);
    const whole = readFileSync(path);
    for (const damaged of [Buffer.alloc(0), whole.subarray(0, whole.length - 8), Buffer.from(whole).fill(0, 200)]) {
      writeFileSync(path, damaged);
      expect(start().result).toBe(42);
      expect(readFileSync(path).length).toBeGreaterThan(whole.length / 2);
    }
  });

  it("is no hindrance where it cannot be read", () => {
    start();
    const [a, b] = files();
    rmSync(join(place(), a!));
    mkdirSync(join(place(), a!, "full"), { recursive: true });
    expect(start().result).toBe(42);
    expect(outcomesIn(b!)).toEqual(["running"]);
    expect(files()).toEqual([a, b]);
  });

  it("is made again where another program wrote what is in it", () => {
    start();
    const path = join(place(), files()[0]!);
    const whole = readFileSync(path);
    const end = whole.indexOf("\n") + 1;
    const { stamp } = JSON.parse(whole.toString("latin1", 0, end)) as { stamp: string };
    const outcomes = {} as unknown as readonly Outcome[];
    writeFileSync(path, encodeKept(stamp, { outcomes, code: whole.subarray(end) }));
    expect(start().result).toBe(42);
    expect(outcomesIn(files()[0]!)).toEqual(["running"]);
  });

  it("is no hindrance where its folder cannot be used any more at the end", () => {
    const meanwhile = (): void => {
      rmSync(place(), { recursive: true });
      symlinkSync(place(), place()); // fails for root as well, with ELOOP
    };
    expect(start({ exit: 0, meanwhile }).result).toBe(42);
    expect(() => files()).toThrow("ELOOP");
  });

  it("goes when it is old, with what earlier versions kept", () => {
    mkdirSync(join(place(), "v22.0.0-x64-0"), { recursive: true, mode: 0o700 });
    writeFileSync(join(place(), "v22.0.0-x64-0/abc"), "x");
    writeFileSync(join(place(), "old-draft.123"), "x");
    writeFileSync(join(place(), "fresh"), "x");
    const old = Date.now() / 1000 - 31 * 24 * HOUR_S;
    for (const name of ["v22.0.0-x64-0", "old-draft.123"]) utimesSync(join(place(), name), old, old);
    chmodSync(place(), 0o700);
    start();
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-list$/), expect.stringMatching(/-b\.cjs-list$/), "fresh"]);
  });

  it.each([{ NODE_DISABLE_COMPILE_CACHE: "1" }, { NODE_V8_COVERAGE: "/nowhere" }, { HOME: "/dev/null" }])(
    "is not kept with %o",
    (environment) => {
      expect(start({ environment }).result).toBe(42);
      expect(() => files()).toThrow("ENOENT");
    },
  );

  it("is another's with other flags of V8", () => {
    start();
    start({ execArgv: ["--max-lazy"] });
    expect(files()).toHaveLength(4);
    start({ environment: { NODE_OPTIONS: "--max-lazy" } });
    expect(files()).toHaveLength(4);
  });
});
