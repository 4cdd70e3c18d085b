import { expect, test } from "vitest";
import { ownJson } from "./own-json.ts";

test("keys are snake_case at every depth, numbers have three digits behind the point", () => {
  const document = { rttMs: 1.128710999999953, peer: { ownEndpoints: ["10.0.0.1:1"], candidates: [{ pingsSent: 3 }] } };
  expect(JSON.parse(ownJson(document))).toEqual({
    rtt_ms: 1.129,
    peer: { own_endpoints: ["10.0.0.1:1"], candidates: [{ pings_sent: 3 }] },
  });
});

test("names that are data stay", () => {
  expect(JSON.parse(ownJson({ "Coder Embedded Relay": 1, EU: 2, "eu-West": 3 }))).toEqual({
    "Coder Embedded Relay": 1,
    EU: 2,
    "eu-West": 3,
  });
});
