import { test } from "vitest";
import { expectDyingPathIsLeftAlone } from "./dying-path.ts";

test("a firewall ends flows after 100 packets: the path is left alone for ever longer, and it is known how long it lasts", () => {
  expectDyingPathIsLeftAlone({ packets: 100 });
});
