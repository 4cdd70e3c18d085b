import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readMotd } from "./motd.ts";

let home: string;
const logged: string[] = [];
const logger = { level: "debug", log: (_: string, message: string) => void logged.push(message) } as const;

const answers = async (): Promise<boolean> => true;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "motd-"));
});
afterAll(() => rmSync(home, { recursive: true }));

it("reads the file wherever the manifest says it is", async () => {
  writeFileSync(join(home, "motd"), "Welcome\n");
  for (const path of [join(home, "motd"), "~/motd", "motd"])
    expect(await readMotd(path, home, logger, answers)).toBe("Welcome\n");
});

it("is silent when there is none", async () => {
  expect(await readMotd("", home, logger, answers)).toBeUndefined();
  expect(await readMotd("/nonexistent", home, logger, answers)).toBeUndefined();
  expect(logged).toEqual([]);
});

it("does not hang on a pipe, nor read a directory", async () => {
  expect(spawnSync("mkfifo", [join(home, "pipe")]).status).toBe(0);
  expect(await readMotd("pipe", home, logger, answers)).toBeUndefined();
  mkdirSync(join(home, "directory"));
  expect(await readMotd("directory", home, logger, answers)).toBeUndefined();
});

it("reads 64 KiB at most, whole characters", async () => {
  writeFileSync(join(home, "long"), "€".repeat(100_000));
  expect(await readMotd("long", home, logger, answers)).toBe("€".repeat(21_845));
});

it("a file system that does not answer is not read", async () => {
  writeFileSync(join(home, "motd"), "Welcome\n");
  expect(await readMotd("motd", home, logger, async (path) => path !== join(home, "motd"))).toBeUndefined();
});
