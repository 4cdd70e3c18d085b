import { describe, expect, it } from "vitest";
import { hexEncode } from "wg-userspace/base/bytes";
import { FuzzRun } from "wg-userspace/testing/fuzz";
import { PROTOCOL_TARGETS } from "./targets.ts";

const INPUTS = 4_000;
const SEED = 1;

describe("security 42: parsers of the control plane's protocols", () => {
  it.each(PROTOCOL_TARGETS)("$name takes any input without a throw, within its bounds", (factory) => {
    const failure = new FuzzRun(factory, SEED).run(INPUTS);
    expect(failure === undefined ? "" : `input ${failure.index} ${hexEncode(failure.input)}: ${failure.what}`).toBe("");
  });
});
