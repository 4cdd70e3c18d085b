import fc from "fast-check";
import { expect, test } from "vitest";
import { apiKey } from "./api-keys.ts";
import { nameText, SESSION_TOKEN_PATTERN, timestamp, uuid, ZERO_TIME } from "./common.ts";
import { formatServerSentEvent } from "./events.ts";
import { createFirstUserRequest, user } from "./users.ts";
import { createWorkspaceRequest } from "./workspaces.ts";

test("names are letters and digits with single hyphens between them", () => {
  for (const name of ["a", "dev", "my-dev-2", "A1", "x".repeat(32)])
    expect(nameText.safeParse(name).success).toBe(true);
  for (const name of ["", "-a", "a-", "a--b", "a b", "a.b", "a\n", "a/b", "é", "x".repeat(33)]) {
    expect(nameText.safeParse(name).success).toBe(false);
  }
});

test("times accept Go's format, the zero time included", () => {
  for (const text of [ZERO_TIME, "2026-11-23T16:27:26.123456789Z", "2026-11-23T16:27:26+01:00"]) {
    expect(timestamp.safeParse(text).success).toBe(true);
  }
  expect(timestamp.safeParse("yesterday").success).toBe(false);
  expect(uuid.safeParse("00000000-0000-0000-0000-000000000000").success).toBe(true);
});

test("unknown fields of newer servers are tolerated, missing ones are not", () => {
  const body = {
    id: "5a5a5a5a-0000-4000-8000-000000000001",
    username: "ada",
    email: "ada@example.com",
    created_at: ZERO_TIME,
    updated_at: ZERO_TIME,
    status: "active",
    login_type: "password",
    organization_ids: [],
    roles: [{ name: "owner", display_name: "Owner" }],
  };
  expect(user.safeParse({ ...body, something_new: true }).success).toBe(true);
  expect(user.safeParse({ ...body, username: undefined }).success).toBe(false);
  expect(apiKey.safeParse(body).success).toBe(false);
});

test("requests with null where Go sends nothing are accepted", () => {
  expect(
    createWorkspaceRequest.safeParse({
      name: "dev",
      ttl_ms: null,
      autostart_schedule: null,
      rich_parameter_values: null,
    }).success,
  ).toBe(true);
  const first = { email: "a@b", username: "a", name: "", password: "long enough", trial: false };
  expect(createFirstUserRequest.safeParse({ ...first, trial_info: { first_name: "" } }).success).toBe(true);
});

test("an event never breaks out of its line", () => {
  expect(formatServerSentEvent({ type: "ping" })).toBe("event: ping\n\n");
  fc.assert(
    fc.property(fc.jsonValue(), (data) => {
      const text = formatServerSentEvent({ type: "data", data });
      expect(text.match(/\n/g)).toHaveLength(3);
      expect(JSON.parse(text.slice("event: data\ndata: ".length))).toEqual(JSON.parse(JSON.stringify(data)));
    }),
  );
});

test("tokens have ten and 22 letters or digits", () => {
  expect(SESSION_TOKEN_PATTERN.test(`${"a".repeat(10)}-${"B".repeat(22)}`)).toBe(true);
  expect(SESSION_TOKEN_PATTERN.test(`${"a".repeat(10)}-${"B".repeat(22)}\n`)).toBe(false);
});
