import { isSessionId } from "coder-protocol/session-id";
import { expect, test } from "vitest";
import { resolveSessionId } from "./session-id.ts";

const resolve = (value?: string) => {
  const warnings: string[] = [];
  const id = resolveSessionId(value === undefined ? {} : { CODER_TRACE_SESSION_ID: value }, (text) => {
    warnings.push(text);
  });
  return { id, warnings };
};

test("an id is made where the variable says nothing", () => {
  for (const nothing of [undefined, ""]) {
    const { id, warnings } = resolve(nothing);
    expect(isSessionId(id)).toBe(true);
    expect(warnings).toEqual([]);
  }
  expect(resolve().id).not.toBe(resolve().id);
});

test("a given id is taken as it is, with a warning when it is not canonical", () => {
  const id = "0123456789abcdef0123456789abcdef";
  expect(resolve(id)).toEqual({ id, warnings: [] });
  for (const odd of ["my-editor", id.toUpperCase()]) {
    expect(resolve(odd)).toEqual({ id: odd, warnings: [expect.stringContaining("CODER_TRACE_SESSION_ID")] });
  }
});
