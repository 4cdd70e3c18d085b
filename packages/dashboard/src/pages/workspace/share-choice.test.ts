import type { PortShare } from "coder-protocol/rest/apps";
import { expect, test } from "vitest";
import { chosenShare, firstLength, firstLevel, shareLengths } from "./share-choice.ts";

const NOW = Date.parse("2030-01-01T00:00:00Z");
const share: PortShare = {
  workspace_id: "4f2a1b7e-1111-4222-8333-444455556666",
  agent_name: "main",
  port: 8080,
  share_level: "authenticated",
  effective_level: "authenticated",
  protocol: "https",
  label: "staging",
  expires_at: null,
  host_header: "localhost",
  cors: "passthru",
  cors_origins: ["https://tools.example.com"],
  also: ["api"],
  identity_headers: true,
  created_at: "2029-12-31T00:00:00Z",
};
const chosen = (given: PortShare | undefined, length: string) =>
  chosenShare(given, { level: "public", protocol: "http", label: "x", length, localhost: given !== undefined }, NOW);

test("a new share lasts a day unless another length is chosen", () => {
  expect(shareLengths(undefined).map(([value]) => value)).toContain(firstLength(undefined));
  expect(chosen(undefined, firstLength(undefined))).toEqual({
    share_level: "public",
    protocol: "http",
    label: "x",
    host_header: "preserve",
    expires_at: "2030-01-02T00:00:00.000Z",
  });
  expect(chosen(undefined, "0").expires_at).toBeNull();
});

test("saving an existing share leaves its end and what the dialog does not ask for", () => {
  expect(shareLengths(share)[0]?.[0]).toBe(firstLength(share));
  const {
    workspace_id: _workspace,
    agent_name: _agent,
    port: _port,
    created_at: _created,
    effective_level: _level,
    ...kept
  } = share;
  expect(chosen(share, firstLength(share))).toEqual({ ...kept, share_level: "public", protocol: "http", label: "x" });
  const limited = { ...share, expires_at: "2030-01-03T00:00:00Z" };
  expect(chosen(limited, firstLength(limited)).expires_at).toBe("2030-01-03T00:00:00Z");
  expect(chosen(limited, "1").expires_at).toBe("2030-01-01T01:00:00.000Z");
  expect(chosen(limited, "0").expires_at).toBeNull();
});

test("saving an existing share keeps the level that was chosen, though an administrator allows less by now", () => {
  expect(firstLevel({ ...share, share_level: "public" }, "authenticated")).toBe("public");
  expect(firstLevel(undefined, "public")).toBe("authenticated");
  expect(firstLevel(undefined, "organization")).toBe("organization");
});
