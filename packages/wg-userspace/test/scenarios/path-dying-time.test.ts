import { test } from "vitest";
import { expectDyingPathIsLeftAlone } from "./dying-path.ts";

test("a firewall ends flows after 20 s: the path is left alone for ever longer, and it is known how long it lasts", () => {
  expectDyingPathIsLeftAlone({ ms: 20_000 });
});
