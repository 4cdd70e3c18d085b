import { expect, it } from "vitest";
import { passwordWeakness } from "./passwords.ts";

it.each([
  "password",
  "Password1!",
  "P4ssw0rd123",
  "aaaaaaaa",
  "abababab",
  "12345678",
  "87654321",
  "abcdefgh",
  "qwertzuiop",
  "!!admin!!",
  "letmein2026",
])("refuses %s", (password) => expect(passwordWeakness(password)).toBeTypeOf("string"));

it.each(["correct horse battery", "another password", "tr0ub4dor&3", "long enough", "SomeSecurePassword!"])(
  "takes %s",
  (password) => expect(passwordWeakness(password)).toBeUndefined(),
);
