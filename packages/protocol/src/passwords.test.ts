import { expect, it } from "vitest";
import { passwordProblem } from "./passwords.ts";

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
  "sh0rt!",
  `${"long".repeat(64)}.`,
])("refuses %s", (password) => expect(passwordProblem(password)).toBeTypeOf("string"));

it.each(["correct horse battery", "another password", "tr0ub4dor&3", "long enough", "SomeSecurePassword!"])(
  "accepts %s",
  (password) => expect(passwordProblem(password)).toBeUndefined(),
);
