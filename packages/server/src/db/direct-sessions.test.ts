import type pg from "pg";
import { expect, test } from "vitest";
import { keepsStatements, noteSession } from "./direct-sessions.ts";

test.each([
  { what: "PostgreSQL itself, whose process is the one that the connection was given", processID: 4711, keeps: true },
  { what: "a pooler, which names a process of its own", processID: 1_829_407_115, keeps: false },
  { what: "something that names no process", processID: null, keeps: false },
])("a connection to $what keeps what is prepared: $keeps", ({ processID, keeps }) => {
  const client = { processID } as unknown as pg.ClientBase;
  expect(keepsStatements(client)).toBe(false);
  noteSession(client, 4711);
  expect(keepsStatements(client)).toBe(keeps);
});
