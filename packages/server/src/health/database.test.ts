import { describe, expect, it } from "vitest";
import { checkDatabase, type SharedDatabase, sharedWarnings } from "./database.ts";

const NOW = 1_000_000;
const pool = { max: 10, idle: 3, used: 1, waiting: 0, exhaustedAt: undefined };
const well: SharedDatabase = { mode: "listen", skewMs: 0, pool };
const log = { error: () => undefined };

describe("warnings of a database that servers share", () => {
  const rows: readonly [what: string, database: Partial<SharedDatabase>, expected: readonly string[], text?: RegExp][] =
    [
      ["all is well", {}, []],
      ["LISTEN does not deliver", { mode: "poll" }, ["EDB03"], /point --postgres-url past it/],
      ["the clock is 2 s behind", { skewMs: 2_000 }, []],
      ["the clock is further behind", { skewMs: 2_001 }, ["EDB04"], /2\.0 s behind the database's.*NTP/],
      ["the clock is ahead", { skewMs: -300_000 }, ["EDB04"], /300\.0 s ahead of the database's/],
      ["the pool was never exhausted", { pool: undefined }, []],
      [
        "the pool was exhausted lately",
        { pool: { ...pool, exhaustedAt: NOW - 59_000 } },
        ["EDB05"],
        /All 10 connections.*raise --postgres-conn-max-open/,
      ],
      ["the pool was exhausted a minute ago", { pool: { ...pool, exhaustedAt: NOW - 60_000 } }, []],
      [
        "all at once",
        { mode: "poll", skewMs: 9_000, pool: { ...pool, exhaustedAt: NOW } },
        ["EDB03", "EDB04", "EDB05"],
      ],
    ];
  it.each(rows)("%s", (_what, database, expected, text) => {
    const warnings = sharedWarnings({ ...well, ...database }, NOW);
    expect(warnings.map(({ code }) => code)).toEqual(expected);
    if (text !== undefined) expect(warnings[0]!.message).toMatch(text);
  });
});

describe("the section of the database", () => {
  const check = (ping: () => Promise<number>, shared?: SharedDatabase) =>
    checkDatabase({ ping, thresholdMs: 15, shared, log });

  it("has the median of five answers, and EDB02 above the limit", async () => {
    const answers = [2, 900, 3, 1, 800];
    const fast = await check(async () => answers.shift()!);
    expect(fast).toMatchObject({ healthy: true, severity: "ok", latency_ms: 3, threshold_ms: 15, warnings: [] });
    const slow = await check(async () => 20);
    expect(slow).toMatchObject({ healthy: true, severity: "warning", warnings: [{ code: "EDB02" }] });
    expect(slow.warnings[0]!.message).toMatch(/20\.0 ms .* more than 15 ms\. Check the load of the disk/);
    const far = await check(async () => 20, well);
    expect(far.warnings[0]!.message).toMatch(/servers and PostgreSQL closer together/);
  });

  it("is EDB01 if there is no answer, and keeps the other warnings", async () => {
    const failing = (): Promise<number> => Promise.reject(new Error("postgres://coder:hunter2@db/coder refused"));
    const alone = await check(failing);
    expect(alone).toMatchObject({ healthy: false, reachable: false, error: expect.stringMatching(/^EDB01: .*disk/) });
    const shared = await check(failing, { ...well, mode: "poll" });
    expect(shared).toMatchObject({ severity: "error", warnings: [{ code: "EDB03" }] });
    expect(shared.error).toMatch(/^EDB01: .*administrator check that PostgreSQL runs/);
    expect(JSON.stringify([alone, shared])).not.toContain("hunter2");
  });
});
