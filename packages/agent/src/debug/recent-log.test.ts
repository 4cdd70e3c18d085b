import { expect, it } from "vitest";
import { RecentLog } from "./recent-log.ts";

it("keeps logged lines as JSON, and forwards every line", () => {
  const handed: string[] = [];
  const recent = new RecentLog({ level: "info", log: (_, message) => handed.push(message) }, () => 0);
  recent.log("info", "one", { port: 22, bytes: 3n });
  recent.log("debug", "not wanted");
  expect(recent.text()).toBe('{"port":22,"bytes":"3","time":"1970-01-01T00:00:00.000Z","level":"info","msg":"one"}\n');
  expect(handed).toEqual(["one", "not wanted"]);
  expect(recent.level).toBe("info");
});

it("leaves out what looks like a secret, at any depth", () => {
  const recent = new RecentLog({ level: "info", log: () => undefined });
  recent.log("info", "hello", { agentToken: "s3cret", request: { headers: { cookie: "s3cret" }, path: "/" } });
  expect(recent.text()).not.toContain("s3cret");
  expect(JSON.parse(recent.text())).toMatchObject({ request: { headers: "[redacted]", path: "/" } });
});

it("drops the oldest lines, and cuts one that is too long", () => {
  const recent = new RecentLog({ level: "info", log: () => undefined }, () => 0, 40_000);
  for (let i = 0; i < 1000; i++) recent.log("info", `line ${i}`);
  recent.log("info", "x".repeat(100_000));
  expect(recent.text().length).toBeLessThanOrEqual(40_000);
  expect(recent.text()).toContain('"line 999"');
  expect(recent.text()).not.toContain('"line 1"');
});

it("accepts fields that JSON cannot express", () => {
  const recent = new RecentLog({ level: "info", log: () => undefined });
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  recent.log("info", "round", { loop });
  recent.log("info", "failed", { error: new Error("why") });
  const [round, failed] = recent.text().trimEnd().split("\n");
  expect(JSON.parse(round!)).toMatchObject({ msg: "round", fields: expect.stringContaining("circular") });
  expect(JSON.parse(failed!)).toMatchObject({ error: "Error: why" });
});
