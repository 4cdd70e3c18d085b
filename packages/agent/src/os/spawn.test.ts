import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ReadStream } from "node:tty";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { libc } from "./libc.ts";
import { type Argument, type ProgramExit, startOnPipes, startOnTerminal } from "./spawn.ts";
import { TerminalDevice } from "./terminal-device.ts";

const linux = process.platform === "linux";
const ROOT = { directory: "/", environment: {} };

async function run(command: string, input = ""): Promise<{ stdout: string; stderr: string; code: number | undefined }> {
  const program = startOnPipes({
    file: "/bin/sh",
    args: ["-c", command],
    directory: "/",
    environment: { PATH: process.env["PATH"] ?? "" },
  });
  const output = Promise.all([text(program.stdout), text(program.stderr)]);
  program.stdin.on("error", () => undefined);
  program.stdin.end(input);
  const [stdout, stderr] = await output;
  return { stdout, stderr, code: (await program.exited).code };
}

test.runIf(process.platform === "linux")(
  "a program gets descriptors 0 to 2 and no others, whichever code opened them",
  async () => {
    const device = new TerminalDevice();
    const library = libc();
    if (library instanceof Error) throw library;
    // A descriptor without close-on-exec, as if the process had been started with it.
    const inherited = openSync("/dev/null", "r");
    libraryFunction("int fcntl(int fd, int command, ...)")(inherited, 2, "int", 0);
    const pipe = library.pipe();
    try {
      const { stdout } = await run("cd /proc/self/fd && echo *");
      // One of them belongs to the shell's own listing.
      expect(
        stdout
          .trim()
          .split(" ")
          .map(Number)
          .filter((fd) => fd > 2).length,
      ).toBeLessThanOrEqual(1);
      const { stdout: links } = await run("ls -l /proc/self/fd");
      expect(links).not.toMatch(/ptmx|pts|null/);
    } finally {
      device.close();
      for (const fd of [...pipe, inherited]) closeSync(fd);
    }
  },
);

test.runIf(process.platform !== "win32")("standard streams can be opened by their paths", async () => {
  expect(await run("bash /dev/stdin x", 'echo "$1"')).toEqual({ stdout: "x\n", stderr: "", code: 0 });
  expect(await run("echo out >/dev/stdout; echo err >/dev/stderr; echo more >/proc/self/fd/1")).toEqual({
    stdout: "out\nmore\n",
    stderr: "err\n",
    code: 0,
  });
});

test("closing the input ends the program's reading, and the program's end closes the input", async () => {
  expect((await run("cat; echo end", "some")).stdout).toBe("someend\n");
  expect((await run("head -c 1", "x".repeat(1 << 20))).stdout).toBe("x");
});

test.runIf(process.platform === "linux")("a program that does not exist leaves no descriptor", () => {
  const before = openDescriptors();
  for (let round = 0; round < 20; round++) {
    const start = { file: "/no/such/program", args: [], directory: "/", environment: {} };
    expect(() => startOnPipes(start)).toThrow("ENOENT");
  }
  expect(openDescriptors()).toBe(before);
});

const SIGNALS: readonly (readonly [number, string])[] = [
  [3, "SIGQUIT"],
  [4, "SIGILL"],
  [6, "SIGABRT"],
  [8, "SIGFPE"],
  [9, "SIGKILL"],
  [12, "SIGUSR2"],
  [13, "SIGPIPE"],
  [14, "SIGALRM"],
  [15, "SIGTERM"],
  [16, "SIGSTKFLT"],
  [29, "SIGIO"],
  [34, "SIGRTMIN+0"],
  [37, "SIGRTMIN+3"],
  [50, "SIGRTMIN+16"],
  [64, "SIGRTMIN+30"],
];

test.runIf(linux).each(SIGNALS)("a program ended by signal %i did not succeed", async (number, signal) => {
  // Not the shell itself: bash ignores SIGQUIT.
  const killer = `(while kill -${number} $$; do sleep 0.1; done) >/dev/null 2>&1 &`;
  const args = ["-c", `ulimit -c 0; ${killer} exec sleep 10`];
  const start = { ...ROOT, file: "/bin/sh", args };
  expect(await startOnPipes(start).exited).toEqual({ code: undefined, signal, coreDumped: false });
  const device = new TerminalDevice();
  try {
    expect(await startOnTerminal(start, device).exited).toEqual({ code: undefined, signal, coreDumped: false });
  } finally {
    device.close();
  }
});

test.runIf(linux)("programs have every signal at its default", async () => {
  const program = startOnPipes({ ...ROOT, file: "grep", args: ["^Sig[BI]", "/proc/self/status"] });
  const none = "0".repeat(16);
  expect(await text(program.stdout)).toBe(`SigBlk:\t${none}\nSigIgn:\t${none}\n`);
});

test.runIf(linux)("programs have the usual limit of open files, whatever this process has", async () => {
  // Node has raised its own when it started.
  expect((await run("ulimit -Sn")).stdout).toBe(`${Math.min(1024, fileLimits().hard)}\n`);
});

/** More of them than a program may have, where the machine allows it. */
const MANY = Math.min(1100, fileLimits().hard - 100);

test.runIf(linux).each([900, MANY])("with %i open files programs have one limit from their start on", async (count) => {
  const { hard } = fileLimits();
  const opened = Array.from({ length: Math.min(count, MANY) }, () => openSync("/dev/null", "r"));
  try {
    const highest = Math.max(...opened);
    // What is set after the start would undo what the program sets itself.
    const limits = (await run("ulimit -Sn; read go; ulimit -Sn", "go\n")).stdout.trim().split("\n").map(Number);
    expect(limits[0]).toBeGreaterThanOrEqual(Math.min(highest + 256, hard));
    expect(limits[0]).toBeLessThanOrEqual(Math.min(highest + 400, hard));
    expect(limits[1]).toBe(limits[0]);
    expect(fileLimits().soft).toBe(hard);
  } finally {
    for (const fd of opened) closeSync(fd);
  }
});

test.runIf(linux)("the limit of a program allows for files opened since its terminal was", async () => {
  const device = new TerminalDevice();
  const opened = Array.from({ length: MANY }, () => openSync("/dev/null", "r"));
  const folder = mkdtempSync(join(tmpdir(), "spawn-"));
  try {
    const args = ["-c", `ulimit -Sn >${folder}/limit`];
    expect(await startOnTerminal({ ...ROOT, file: "/bin/sh", args }, device).exited).toMatchObject({ code: 0 });
    const expected = Math.min(Math.max(...opened) + 256, fileLimits().hard);
    expect(Number(readFileSync(`${folder}/limit`, "utf8"))).toBeGreaterThanOrEqual(expected);
  } finally {
    for (const fd of opened) closeSync(fd);
    device.close();
    rmSync(folder, { recursive: true });
  }
});

test.runIf(linux)("arguments and variables are bytes", async () => {
  const program = startOnPipes({
    file: "sh",
    name: "-called",
    args: ["-c", 'printf %s "$1$A" | od -An -tx1; cat /proc/$$/cmdline', "x", Buffer.of(0xff, 0xc3, 0x28)],
    directory: "/",
    environment: { PATH: process.env["PATH"] ?? "", A: Buffer.of(0xfe) },
  });
  program.stdin.end();
  const stdout = await text(program.stdout);
  expect(stdout).toContain(" ff c3 28 fe\n");
  expect(stdout).toContain("-called\0-c\0");
  expect(await program.exited).toEqual({ code: 0, signal: undefined });
});

test.runIf(linux)("a program that cannot be started fails with the kernel's reason", () => {
  const start = { args: [], directory: "/", environment: {} };
  expect(() => startOnPipes({ ...start, file: "/etc/passwd" })).toThrow("EACCES");
  expect(() => startOnPipes({ ...start, file: "no-such-program" })).toThrow("ENOENT");
  expect(() => startOnPipes({ ...start, file: "/bin/sh", directory: "/etc/passwd" })).toThrow("ENOTDIR");
});

describe.runIf(linux)("a program's name is looked for in its own PATH", () => {
  const folder = mkdtempSync(join(tmpdir(), "spawn-"));
  const places = [`${folder}/bin`, Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xff)])] as const;
  beforeAll(() => {
    writeFileSync(join(folder, "here"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
    for (const place of places) {
      mkdirSync(place);
      const file = Buffer.concat([Buffer.from(place), Buffer.from("/there")]);
      writeFileSync(file, "#!/bin/sh\necho ran\n", { mode: 0o755 });
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const output = async (file: string, path: Argument | undefined): Promise<string> => {
    const environment: Record<string, Argument> = path === undefined ? {} : { PATH: path };
    return text(startOnPipes({ file, args: [], directory: folder, environment }).stdout);
  };

  // env(1) uses execvp(3), and exits with 126 for what it found and may not execute.
  test.each([
    ["plain", "plain:/bin"],
    ["true", "plain:/bin"],
    ["directory", "."],
    ["plain", "here:plain"],
    ["absent", "plain:."],
    ["plain", "/nowhere:plain:/nowhere"],
  ])("%s in the places %s is found, or refused for the reason that execvp has", async (file, path) => {
    mkdirSync(join(folder, "plain"), { recursive: true });
    mkdirSync(join(folder, "directory"), { recursive: true });
    writeFileSync(join(folder, "plain", "plain"), "no program");
    writeFileSync(join(folder, "plain", "true"), "no program");
    const { status } = spawnSync("/usr/bin/env", [file], { cwd: folder, env: { PATH: path } });
    const reasons: Readonly<Record<number, string>> = { 126: "EACCES", 127: "ENOENT" };
    const reason = await output(file, path).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(reason).toBe(reasons[status ?? -1]);
  });

  test("not in the directory where it starts", async () => {
    await expect(output("here", "/bin")).rejects.toThrow("ENOENT");
    await expect(output("", "/bin")).rejects.toThrow("ENOENT");
  });

  test.each(["", ".", "/nowhere:", ":/nowhere"])("unless an entry says so: '%s'", async (path) => {
    expect(await output("here", path)).toBe("ran\n");
  });

  test("whose relative entries are in that directory", async () => {
    expect(await output("there", "bin")).toBe("ran\n");
    expect(await output("bin/there", "")).toBe("ran\n");
  });

  test("which need not be text", async () => {
    expect(await output("there", places[1])).toBe("ran\n");
  });

  test("or in the usual places when there is none", async () => {
    expect(await output("pwd", undefined)).toBe(`${folder}\n`);
  });
});

test.runIf(linux)("a script without an interpreter line runs by sh", async () => {
  const folder = mkdtempSync(join(tmpdir(), "spawn-"));
  try {
    const file = join(folder, "script");
    writeFileSync(file, 'echo "$0 $1"\n');
    chmodSync(file, 0o755);
    const program = startOnPipes({ file, args: ["one"], directory: "/", environment: {} });
    expect(await text(program.stdout)).toBe(`${file} one\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.runIf(linux)("many programs at once are all waited for", async () => {
  const start = { file: "/bin/sh", directory: "/", environment: {} };
  const exits = await Promise.all(
    Array.from({ length: 50 }, (_, code): Promise<ProgramExit> => {
      return startOnPipes({ ...start, args: ["-c", `exit ${code}`] }).exited;
    }),
  );
  expect(exits.map((exit) => exit.code)).toEqual(exits.map((_, code) => code));
  expect(process.listenerCount("SIGCHLD")).toBe(0);
});

describe.runIf(linux)("where Node starts the programs", () => {
  const library = libc();
  if (library instanceof Error) throw library;
  const { spawn } = library;
  beforeAll(() => void Object.assign(library, { spawn: undefined }));
  afterAll(() => void Object.assign(library, { spawn }));
  const start = { file: "/bin/bash", directory: "/", environment: { PATH: process.env["PATH"] ?? "" } };

  test("they have their streams, names and codes", async () => {
    const program = startOnPipes({ ...start, name: "called", args: ["-c", "echo $0; exit 3"] });
    expect(await text(program.stdout)).toBe("called\n");
    expect(await program.exited).toEqual({ code: 3, signal: undefined });
  });

  test("a login shell on a terminal is one", async () => {
    const device = new TerminalDevice();
    const program = startOnTerminal({ ...start, name: "-bash", args: [] }, device);
    const terminal = new ReadStream(device.master);
    device.releaseMaster();
    let screen = "";
    terminal.on("data", (data: Buffer) => {
      screen += data.toString();
    });
    terminal.on("error", () => terminal.destroy()); // EIO at its end
    terminal.write("shopt login_shell; tty; exit 5\n");
    expect(await program.exited).toEqual({ code: 5, signal: undefined });
    const closed = new Promise((resolve) => terminal.once("close", resolve));
    device.closeProgramSide();
    await closed;
    expect(screen).toMatch(/login_shell\s+on\r\n/);
    expect(screen).toContain(`${device.name}\r\n`);
  });

  test("their paths are relative to the directory where they start", async () => {
    const program = startOnPipes({ file: "bin/pwd", args: [], directory: "/usr", environment: {} });
    expect(await text(program.stdout)).toBe("/usr\n");
    expect(() => startOnPipes({ ...start, directory: "/etc", file: "./passwd", args: [] })).toThrow("EACCES");
  });

  test("one that cannot be started for want of descriptors says so", () => {
    const { soft } = fileLimits();
    const before = openDescriptors();
    const highest = Math.max(...readdirSync("/proc/self/fd").map(Number));
    const fill = [openSync("/dev/null", "r")];
    while (fill.at(-1)! < highest) fill.push(openSync("/dev/null", "r"));
    try {
      // Six for the pipes, and one where Node needs two.
      setFileLimit(fill.at(-1)! + 1 + 7);
      expect(() => startOnPipes({ ...start, args: [] })).toThrow("cannot start the program: EMFILE");
    } finally {
      setFileLimit(soft);
      for (const fd of fill) closeSync(fd);
    }
    expect(openDescriptors()).toBe(before);
  });

  test("what cannot be started or passed on fails with the reason", () => {
    expect(() => startOnPipes({ ...start, file: "/no/such/program", args: [] })).toThrow("ENOENT");
    expect(() => startOnPipes({ ...start, file: "/etc/passwd", args: [] })).toThrow("EACCES");
    expect(() => startOnPipes({ ...start, args: ["-c", Buffer.of(0xff)] })).toThrow("EILSEQ");
  });
});

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function libraryFunction(declaration: string): (...args: unknown[]) => number {
  const koffi = createRequire(import.meta.url)("koffi") as {
    load(path: null): { func(declaration: string): (...args: unknown[]) => number };
  };
  return koffi.load(null).func(declaration);
}

/** This process's own limits of open files. */
function fileLimits(): { readonly soft: number; readonly hard: number } {
  if (!linux) return { soft: 0, hard: 0 };
  const [soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))!.slice(1);
  return { soft: Number(soft), hard: Number(hard) };
}

function setFileLimit(soft: number): void {
  const limits = BigUint64Array.of(BigInt(soft), BigInt(fileLimits().hard));
  const set = libraryFunction("int prlimit(int pid, int resource, const uint8_t *limit, uint8_t *previous)");
  expect(set(0, 7, new Uint8Array(limits.buffer), null)).toBe(0);
}
