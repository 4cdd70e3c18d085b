import fc from "fast-check";
import { expect, test } from "vitest";
import { isSessionId, sessionIdOfBaggage, sessionIdOfReason, withSessionId } from "./session-id.ts";

const ID = "0123456789abcdef0123456789abcdef";

test.each([
  [ID, true],
  [ID.toUpperCase(), false],
  ["0".repeat(32), false],
  [ID.slice(1), false],
  [`${ID}0`, false],
  [`${ID}\n`, false],
  ["", false],
])("%j: %s", (text, valid) => {
  expect(isSessionId(text)).toBe(valid);
});

test("it is found in baggage among other members, with properties and blanks", () => {
  expect(sessionIdOfBaggage(`client_session_id=${ID}`)).toBe(ID);
  expect(sessionIdOfBaggage(`a=1, client_session_id = ${ID};p=1 , b=2`)).toBe(ID);
  expect(sessionIdOfBaggage(withSessionId("a=1", ID))).toBe(ID);
  for (const none of [undefined, "", "a=1", `xclient_session_id=${ID}`, "client_session_id=hello", ",".repeat(9000)]) {
    expect(sessionIdOfBaggage(none)).toBeUndefined();
  }
});

test("any text can be sent in a header, and only a valid id comes out", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (id) => {
      const header = withSessionId(undefined, id);
      expect(header).toMatch(/^[\x21-\x7e]*$/);
      expect(sessionIdOfBaggage(header)).toBe(isSessionId(id) ? id : undefined);
    }),
  );
});

test("it is found in the reason of a peer update", () => {
  expect(sessionIdOfReason(`node update client_session_id=${ID}`)).toBe(ID);
  expect(sessionIdOfReason("node update")).toBeUndefined();
  expect(sessionIdOfReason(`client_session_id=${ID}0`)).toBeUndefined();
});
