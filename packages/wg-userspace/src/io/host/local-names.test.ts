import { expect, test } from "vitest";
import { systemName } from "./local-names.ts";

test.each([
  ["coder.localhost", "localhost"],
  ["8080--main--dev--alice.coder.localhost", "localhost"],
  ["Coder.LocalHost.", "localhost"],
  ["localhost", "localhost"],
  ["localhost.example.com", "localhost.example.com"],
  ["mylocalhost", "mylocalhost"],
  [".localhost", ".localhost"],
  ["a..localhost", "a..localhost"],
  ["127.0.0.1", "127.0.0.1"],
])("the system is asked for %s as %s", (name, asked) => expect(systemName(name)).toBe(asked));
