import { test } from "vitest";
import { expectDyingPathIsLeftAlone } from "./dying-path.ts";

test("a firewall ends flows after 100 packets: the path is avoided for longer each time, and its typical life is known", () => {
  expectDyingPathIsLeftAlone({ packets: 100 });
});
