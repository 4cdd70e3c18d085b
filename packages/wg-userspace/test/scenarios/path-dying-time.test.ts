import { test } from "vitest";
import { expectDyingPathIsLeftAlone } from "./dying-path.ts";

test("a firewall ends flows after 20 s: the path is avoided for longer each time, and its typical life is known", () => {
  expectDyingPathIsLeftAlone({ ms: 20_000 });
});
