import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KEEP_MS, ResumeStore } from "./resume-store.ts";

const AGENT = "11111111-1111-4111-8111-111111111111";
const OTHER = "22222222-2222-4222-8222-222222222222";
const shell = (n: number): string => `33333333-3333-4333-8333-33333333333${n}`;
let folder: string;
let alive: Set<number>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "resume-"));
  alive = new Set([process.pid]);
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

const store = (agentId = AGENT): ResumeStore => new ResumeStore(folder, agentId, (pid) => alive.has(pid));
const names = (): string[] => readdirSync(join(folder, "resume")).sort();
/** Records a shell to which process `pid` was attached `agoMs` ago. */
function left(id: string, pid: number, agoMs: number, agentId = AGENT): void {
  const path = join(folder, "resume", `${agentId}.${id}.${pid}`);
  writeFileSync(path, "");
  const at = (Date.now() - agoMs) / 1000;
  utimesSync(path, at, at);
}

test("there is nothing to resume at first, and a query creates nothing", () => {
  expect(store().claim()).toBeUndefined();
  expect(readdirSync(folder)).toEqual([]);
});

test("a shell is resumed when its process is gone, the one left last first, and only once", () => {
  const ours = store();
  ours.add(shell(1));
  expect(store().claim()).toBeUndefined(); // this process is already attached to it
  left(shell(2), 5001, 60_000);
  left(shell(3), 5002, 30_000);
  left(shell(4), 5003, 10_000);
  alive.add(5003);
  expect(store().claim()).toEqual({ id: shell(3), seenAt: expect.any(Number), more: 1 });
  expect(store().claim()).toMatchObject({ id: shell(2), more: 0 });
  expect(store().claim()).toBeUndefined();
  expect(names()).toContain(`${AGENT}.${shell(3)}.${process.pid}`);
  ours.remove(shell(3));
  expect(names()).not.toContain(`${AGENT}.${shell(3)}.${process.pid}`);
});

test("another agent's shells are left alone", () => {
  store().add(shell(1));
  left(shell(2), 5001, 1_000, OTHER);
  expect(store().claim()).toBeUndefined();
  expect(store(OTHER).claim()).toMatchObject({ id: shell(2) });
});

test("entries that no agent keeps any more are removed, and foreign files are not", () => {
  store().add(shell(1));
  left(shell(2), 5001, KEEP_MS + 60_000);
  left(shell(3), 5001, KEEP_MS + 60_000, OTHER);
  writeFileSync(join(folder, "resume", "notes.txt"), "");
  expect(store().claim()).toBeUndefined();
  expect(names()).toEqual([`${AGENT}.${shell(1)}.${process.pid}`, "notes.txt"]);
});

test("an attached shell does not age", () => {
  const ours = store();
  ours.add(shell(1));
  ours.touch(shell(1), Date.now() + 1_000);
  alive.clear();
  left(shell(2), 5001, 0);
  expect(store().claim()).toMatchObject({ id: shell(1), more: 1 });
});
