import { closeSync, openSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { libc } from "./libc.ts";
import { spawned, startOnPipes } from "./spawn.ts";
import { TerminalDevice } from "./terminal-device.ts";

async function run(command: string, input = ""): Promise<{ stdout: string; stderr: string; code: number | null }> {
  const program = startOnPipes({
    file: "/bin/sh",
    args: ["-c", command],
    directory: "/",
    environment: { PATH: process.env["PATH"] ?? "" },
  });
  const code = new Promise<number | null>((resolve) => program.process.once("exit", resolve));
  const output = Promise.all([text(program.stdout), text(program.stderr)]);
  program.stdin.on("error", () => undefined);
  program.stdin.end(input);
  const [stdout, stderr] = await output;
  return { stdout, stderr, code: await code };
}

test.runIf(process.platform === "linux")(
  "a program gets descriptors 0 to 2 and no others, whichever code opened them",
  async () => {
    const device = new TerminalDevice();
    const library = libc();
    if (library instanceof Error) throw library;
    // A descriptor without close-on-exec, as if the process had been started with it.
    const inherited = openSync("/dev/null", "r");
    const koffi = createRequire(import.meta.url)("koffi") as {
      load(path: null): { func(declaration: string): (...args: unknown[]) => number };
    };
    koffi.load(null).func("int fcntl(int fd, int command, ...)")(inherited, 2, "int", 0);
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

test.runIf(process.platform === "linux")("a program that does not exist leaves no descriptor", async () => {
  const before = openDescriptors();
  for (let round = 0; round < 20; round++) {
    const program = startOnPipes({ file: "/no/such/program", args: [], directory: "/", environment: {} });
    await expect(spawned(program.process)).rejects.toThrow("ENOENT");
    const closed = [program.stdin, program.stdout, program.stderr].map(
      (stream) => new Promise((resolve) => stream.destroy().once("close", resolve)),
    );
    await Promise.all(closed);
  }
  expect(openDescriptors()).toBe(before);
});

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
