import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { existingDirectory, isFileTransfer, resolveCommand } from "./command.ts";

const user = { name: "dev", shell: "/bin/zsh", home: "/home/dev", uid: 1000 };

test.each([
  [undefined, "/bin/zsh", ["-l"]],
  ["", "/bin/zsh", ["-l"]],
  ["ls -l | wc", "/bin/zsh", ["-c", "ls -l | wc"]],
  ["#!/bin/sh\necho $0", "/bin/sh", ["-c", "#!/bin/sh\necho $0"]],
  ["\n #!/usr/bin/env python3\nprint(1)", "/usr/bin/env", ["python3", "-c", "#!/usr/bin/env python3\nprint(1)"]],
  ["#!/usr/bin/perl -w\nprint 1", "/usr/bin/perl", ["-w", "-e", "#!/usr/bin/perl -w\nprint 1"]],
  ["#!/usr/bin/env node\n1", "/usr/bin/env", ["node", "-e", "#!/usr/bin/env node\n1"]],
  ["#!\necho", "/bin/zsh", ["-c", "#!\necho"]],
])("command %j runs as %s %j", (command, file, args) => {
  expect(resolveCommand(user, command)).toEqual({ file, args });
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

test("a missing directory falls back to the next, and at last to the root", () => {
  expect(existingDirectory([undefined, "/does/not/exist", tmpdir()])).toBe(tmpdir());
  expect(existingDirectory([process.execPath])).toBe("/");
});
