/** The output of `--help`, word for word. After a deliberate change run GOLDEN=write npm test and read the diff. */

import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const golden = join(import.meta.dirname, "../golden");
const COMMANDS = [
  "",
  ...[
    "config-ssh",
    "cp",
    "delete",
    "doctor",
    "list",
    "login",
    "netcheck",
    "open vscode",
    "ping",
    "port-forward",
    "rename",
    "reset-password",
    "restart",
    "server backup",
    "server restore",
    "wsproxy server",
    "show",
  ],
  ...[
    "speedtest",
    "ssh",
    "start",
    "status",
    "stop",
    "support bundle",
    "terminals",
    "tokens",
    "tokens create",
    "users",
    "users create",
    "version",
  ],
];

describe("coder … --help", () => {
  it.each(COMMANDS)("%s", async (command) => {
    const args = [coder, ...command.split(" ").filter(Boolean), "--help"];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
      env: { PATH: process.env["PATH"], HOME: "/nonexistent", COLUMNS: "100", NO_COLOR: "1" },
    });
    expect(stderr).toBe("");
    const file = join(golden, `${command === "" ? "coder" : command.replaceAll(" ", "-")}.txt`);
    if (process.env["GOLDEN"] === "write") {
      mkdirSync(golden, { recursive: true });
      writeFileSync(file, stdout);
    }
    expect(stdout).toBe(readFileSync(file, "utf8"));
  });
});
