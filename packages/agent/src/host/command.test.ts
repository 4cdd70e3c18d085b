import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isFileTransfer, resolveCommand, startDirectory } from "./command.ts";

const user = { name: "dev", shell: "/bin/zsh", home: "/home/dev", uid: 1000 };

test.each([
  [undefined, "/bin/zsh", [], "-zsh"],
  ["", "/bin/zsh", ["-c", ""], "zsh"],
  ["ls -l | wc", "/bin/zsh", ["-c", "ls -l | wc"], "zsh"],
  ["#!/bin/sh\necho $0", "/bin/sh", ["-c", "#!/bin/sh\necho $0"]],
  ["\n #!/usr/bin/env python3\nprint(1)", "/usr/bin/env", ["python3", "-c", "#!/usr/bin/env python3\nprint(1)"]],
  ["#!/usr/bin/perl -w\nprint 1", "/usr/bin/perl", ["-w", "-e", "#!/usr/bin/perl -w\nprint 1"]],
  ["#!/usr/bin/env node\n1", "/usr/bin/env", ["node", "-e", "#!/usr/bin/env node\n1"]],
  ["#!\necho", "/bin/zsh", ["-c", "#!\necho"], "zsh"],
])("command %j runs as %s %j", (command, file, args, name?: string) => {
  expect(resolveCommand(user, command)).toEqual({ file, args, name });
});

test("the interpreter of a command that is not text is found by its path, and its words keep their bytes", () => {
  const command = Buffer.concat([Buffer.from("#!/opt/caf\u00e9/bin/sh -\u00e0 x\nprintf "), Buffer.of(0xff)]);
  expect(resolveCommand(user, command)).toEqual({
    file: "/opt/caf\u00e9/bin/sh",
    args: [Buffer.from("-\u00e0"), Buffer.from("x"), "-c", command],
  });
});

test.each([
  ["scp -t /tmp", true],
  ["  /usr/bin/rsync --server", true],
  ["nc -l 1", true],
  ["sftp", true],
  ["ncat", false],
  ["echo scp", false],
  ["", false],
])("%j counts as a file transfer: %s", (command, expected) => {
  expect(isFileTransfer(command)).toBe(expected);
});

test("programs start in the first directory that can be entered", () => {
  expect(startDirectory(tmpdir(), "/")).toEqual({ path: tmpdir(), problem: undefined });
  expect(startDirectory("/does/not/exist", tmpdir())).toEqual({ path: tmpdir(), problem: undefined });
  expect(startDirectory(undefined, process.execPath)).toEqual({
    path: "/",
    problem: `Could not chdir to home directory ${process.execPath}: Not a directory`,
  });
  expect(startDirectory(undefined, "/does/not/exist")).toEqual({
    path: "/",
    problem: "Could not chdir to home directory /does/not/exist: No such file or directory",
  });
});

test.runIf(process.platform !== "win32")("a directory that cannot be entered is passed over", () => {
  const closed = mkdtempSync(join(tmpdir(), "closed-"));
  chmodSync(closed, 0);
  try {
    // Nothing is closed to root.
    const script = `
      const { startDirectory } = await import(process.argv[1]);
      if (process.getuid() === 0) process.setuid(65534);
      console.log(JSON.stringify(startDirectory(undefined, process.argv[2])));
    `;
    const module = new URL("command.ts", import.meta.url).href;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", script, module, closed]);
    expect(JSON.parse(output.toString())).toEqual({
      path: "/",
      problem: `Could not chdir to home directory ${closed}: Permission denied`,
    });
  } finally {
    rmSync(closed, { recursive: true });
  }
});
