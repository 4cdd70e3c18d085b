import { expect, it } from "vitest";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import { answeredByLines } from "./answered-by.ts";

const map = derpMapOf([
  {
    regionId: 999,
    regionCode: "coder",
    regionName: "Main",
    embeddedRelay: true,
    avoid: false,
    nodes: [relayNode({ name: "999a", regionId: 999, hostName: "coder.example.com" })],
  },
]);

it("names the server and its region, as far as they are known", () => {
  expect(answeredByLines("0123abcd", map)).toEqual([
    'The deployment answered by its server 0123abcd, region 999 "Main".',
  ]);
  expect(answeredByLines("0123abcd", undefined)).toEqual(["The deployment answered by its server 0123abcd."]);
  expect(answeredByLines(undefined, map)).toEqual([]);
});
