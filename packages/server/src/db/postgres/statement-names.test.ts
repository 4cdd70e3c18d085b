import { expect, test } from "vitest";
import { StatementNames } from "./statement-names.ts";

const SQL = 'select * from "agents" where "id" = $1';
const failure = (code: string, message = ""): Error => Object.assign(new Error(message), { code });

function used(names: StatementNames, text: string, times: number): (string | undefined)[] {
  return Array.from({ length: times }, () => names.nameOf(text));
}

test("a statement that is sent often gets a name of its own and keeps it", () => {
  const names = new StatementNames();
  expect(used(names, SQL, 6)).toEqual([undefined, undefined, undefined, undefined, "s1", "s1"]);
  expect(used(names, `${SQL} for update`, 5).at(-1)).toBe("s2");
  expect(used(names, SQL, 1)).toEqual(["s1"]);
});

test("statements that begin or end a transaction get no name", () => {
  const names = new StatementNames();
  for (const text of ["begin", "commit", "start transaction isolation level read committed", "set lock_timeout = 1"])
    expect(used(names, text, 10).at(-1)).toBeUndefined();
});

test("the number of names is limited", () => {
  const names = new StatementNames();
  const given = Array.from({ length: 5_000 }, (_, i) => used(names, `select ${i}`, 6).at(-1));
  expect(given.filter((name) => name !== undefined)).toHaveLength(128);
});

test("statements that are sent once do not prevent others from getting a name", () => {
  const names = new StatementNames();
  for (let i = 0; i < 5_000; i++) names.nameOf(`select ${i}`);
  expect(used(names, SQL, 5).at(-1)).toBe("s1");
});

test("a statement gets a new name after its table got a column", () => {
  const names = new StatementNames();
  used(names, SQL, 5);
  expect(names.failed(SQL, failure("0A000", "cached plan must not change result type"))).toBe(true);
  expect(used(names, SQL, 5)).toEqual([undefined, undefined, undefined, undefined, "s2"]);
});

test.each(["26000", "42P05"])("after the session of a connection changed (%s), no statement has a name", (code) => {
  const names = new StatementNames();
  used(names, SQL, 5);
  expect(names.failed(SQL, failure(code))).toBe(true);
  expect(used(names, SQL, 10).at(-1)).toBeUndefined();
});

test("other failures do not concern the name", () => {
  const names = new StatementNames();
  used(names, SQL, 5);
  for (const error of [failure("23505"), failure("0A000", "not supported"), new Error("reset"), undefined])
    expect(names.failed(SQL, error)).toBe(false);
  expect(names.nameOf(SQL)).toBe("s1");
});
