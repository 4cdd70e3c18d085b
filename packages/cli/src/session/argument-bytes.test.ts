import { expect, it } from "vitest";
import { refuseReplacedBytes } from "./argument-bytes.ts";

it("refuses words whose bytes Node has replaced, and only those", () => {
  const bytes = Buffer.from("echo \xff", "latin1");
  expect(() => refuseReplacedBytes(["echo", "\ufffd"], bytes)).toThrow("not UTF-8");
  expect(() => refuseReplacedBytes(["echo"], bytes)).not.toThrow(); // another argument's
  expect(() => refuseReplacedBytes(["echo", "\ufffd"], Buffer.from("echo \ufffd"))).not.toThrow(); // typed as such
  expect(() => refuseReplacedBytes(["echo", "\ufffd"], undefined)).not.toThrow();
});
