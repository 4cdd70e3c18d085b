import { expect, test } from "vitest";
import { parseCliCallback } from "./cli-callback.ts";

const STATE = "a".repeat(22);

test("a listener on the loopback interface, and nothing else", () => {
  expect(parseCliCallback("http://127.0.0.1:34567/token", STATE)).toEqual({
    url: "http://127.0.0.1:34567/token",
    origin: "http://127.0.0.1:34567",
    state: STATE,
  });
  expect(parseCliCallback("http://[::1]:34567/token", STATE)).toMatchObject({ origin: "http://[::1]:34567" });
  expect(parseCliCallback(undefined, undefined)).toBeUndefined();
  expect(parseCliCallback("", "")).toBeUndefined();
});

test.each([
  "https://127.0.0.1:34567/token",
  "http://127.0.0.1/token",
  "http://127.0.0.1:80/token",
  "http://127.0.0.1:22/token",
  "http://127.0.0.2:34567/token",
  "http://127.1:34567/token",
  "http://0x7f000001:34567/token",
  "http://2130706433:34567/token",
  "http://0.0.0.0:34567/token",
  "http://localhost:34567/token",
  "http://localhost.evil.example:34567/token",
  "http://127.0.0.1.evil.example:34567/token",
  "http://127.0.0.1:34567@evil.example/token",
  "http://user@127.0.0.1:34567/token",
  "http://evil.example:34567/token",
  "http://[::ffff:127.0.0.1]:34567/token",
  "http://[::]:34567/token",
  "http://127.0.0.1:34567/token?x=1",
  "http://127.0.0.1:34567/token#x",
  "http://127.0.0.1:34567/../token",
  "http://127.0.0.1:34567\\@evil.example/",
  "//127.0.0.1:34567/token",
  "javascript:alert(1)",
  "data:text/html,x",
  " http://127.0.0.1:34567/token",
  "http://127.0.0.1:34567/<script>",
  `http://127.0.0.1:34567/${"a".repeat(200)}`,
])("%j is refused", (callback) => expect(parseCliCallback(callback, STATE)).toBe("invalid"));

test.each(["", "short", "a".repeat(200), "state with spaces and more", 'aaaaaaaaaaaaaaaa"><b>'])(
  "the state %j is refused",
  (state) => expect(parseCliCallback("http://127.0.0.1:34567/token", state)).toBe("invalid"),
);
