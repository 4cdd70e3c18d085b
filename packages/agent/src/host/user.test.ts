import { expect, test } from "vitest";
import { shellOf } from "./user.ts";

test.runIf(process.platform !== "win32").each([
  ["/bin/sh", "/bin/cat", "/bin/sh"],
  ["", "/bin/cat", "/bin/sh"],
  ["/usr/sbin/nologin", "/bin/cat", "/bin/cat"],
  [undefined, "/bin/cat", "/bin/cat"],
  ["/no/such/shell", undefined, "/bin/bash"],
])("with %j in the account and %j in SHELL, the shell is %s", (entry, variable, shell) => {
  expect(shellOf(entry, { SHELL: variable })).toBe(shell);
});
