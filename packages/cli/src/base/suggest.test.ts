import { expect, test } from "vitest";
import { nearest } from "./suggest.ts";

const COMMANDS = ["list", "login", "logout", "ping", "port-forward", "ssh", "start", "status", "stop", "show", "users"];

test.each([
  ["lsit", "list"],
  ["shs", "ssh"],
  ["loginn", "login"],
  ["portforward", "port-forward"],
  ["port", "port-forward"],
  ["stat", "start"],
  ["user", "users"],
  ["frobnicate", undefined],
  ["x", undefined],
  ["", undefined],
])("%s may have been meant as %s", (word, meant) => {
  expect(nearest(word, COMMANDS)).toBe(meant);
});
