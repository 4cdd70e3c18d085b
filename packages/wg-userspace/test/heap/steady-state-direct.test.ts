import { test } from "vitest";
import { expectNoGarbage } from "./steady-state-test.ts";

test("a bulk stream in steady state leaves no object per packet on the heap, direct", () => expectNoGarbage("direct"));
