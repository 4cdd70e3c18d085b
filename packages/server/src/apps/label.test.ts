import { expect, test } from "vitest";
import { appAlias, isAppAlias } from "../base/app-alias.ts";
import { parseAppLabel } from "./label.ts";

const place = { agent: "main", workspace: "dev", owner: "ada" };

test.each([
  ["8080--main--dev--ada", { prefix: "", program: { kind: "port", port: 8080, secure: false }, place }],
  ["8443s--main--dev--ada", { prefix: "", program: { kind: "port", port: 8443, secure: true }, place }],
  ["9--main--dev--ada", { prefix: "", program: { kind: "port", port: 9, secure: false }, place }],
  ["65535--MAIN--Dev--Ada", { prefix: "", program: { kind: "port", port: 65535, secure: false }, place }],
  ["code--main--dev--ada", { prefix: "", program: { kind: "slug", slug: "code" }, place }],
  ["vs-code--main--dev--ada", { prefix: "", program: { kind: "slug", slug: "vs-code" }, place }],
  ["x---8080--main--dev--ada", { prefix: "x", program: { kind: "port", port: 8080, secure: false }, place }],
  ["a--b---c---80--main--dev--ada", { prefix: "a--b---c", program: { kind: "port", port: 80, secure: false }, place }],
  [
    "8080--abcdefghij27",
    { prefix: "", program: { kind: "port", port: 8080, secure: false }, place: { alias: "abcdefghij27" } },
  ],
])("the label %s", (text, parsed) => expect(parseAppLabel(text)).toEqual(parsed));

test.each([
  ["", "malformed"],
  ["8080", "APP--AGENT"],
  ["8080--main", "alias"],
  ["8080--main--dev", "APP--AGENT"],
  ["8080--main--dev--ada--x", "APP--AGENT"],
  ["8080--main--dev--me", "full username"],
  ["8080--main--dev--", "name is malformed"],
  ["8080--main---dev--ada", "malformed"],
  ["8080---main--dev--ada", "APP--AGENT"],
  ["-8080--main--dev--ada", "app is malformed"],
  ["co_de--main--dev--ada", "app is malformed"],
  ["x_y---8080--main--dev--ada", "prefix"],
  [`8080--main--dev--${"a".repeat(33)}`, "name is malformed"],
  [`${"a".repeat(33)}--main--dev--ada`, "app is malformed"],
  [`${"p".repeat(50)}---8080--main--dev--ada`, "at most 63"],
  ["8080--abcdefghij18", "alias"],
])("the label %s is no app", (text, error) => {
  expect(parseAppLabel(text)).toMatchObject({ error: expect.stringContaining(error) });
});

test.each(["0", "1", "8", "080", "0080", "65536", "99999", "00000"])("security S17: port %s is not reached", (port) => {
  for (const scheme of ["", "s"]) expect(parseAppLabel(`${port}${scheme}--main--dev--ada`)).toHaveProperty("error");
});

test.each(["1e3", "0x50", "+80", "8080.", "８０８０", "100000"])("security S17: %s is never read as a port", (port) => {
  const parsed = parseAppLabel(`${port}--main--dev--ada`);
  if ("program" in parsed) expect(parsed.program.kind).toBe("slug");
});

test("an alias is stable, short and does not depend on the case of the id", () => {
  const id = "0d5f0d1c-7bd4-4f3d-9a37-0d7a0f5a9b11";
  expect(isAppAlias(appAlias(id))).toBe(true);
  expect(appAlias(id.toUpperCase())).toBe(appAlias(id));
  expect(appAlias("0d5f0d1c-7bd4-4f3d-9a37-0d7a0f5a9b12")).not.toBe(appAlias(id));
});
