import { expect, test } from "vitest";
import { nameProblem, roleOf, type StartedProxy, startLine, statusOf, titleOf } from "./proxy-words.ts";

const status = (state: "ok" | "unregistered" | "unreachable" | "unhealthy", warnings: string[] = []) =>
  statusOf({ status: { status: state, report: { errors: [], warnings }, checked_at: "2026-01-01T00:00:00Z" } });

test("a status is a word and a tone; a healthy proxy with warnings is not shown as healthy", () => {
  expect([
    status("ok"),
    status("ok", ["slow"]),
    status("unregistered"),
    status("unreachable"),
    status("unhealthy"),
  ]).toEqual([
    { tone: "ok", text: "Healthy" },
    { tone: "warn", text: "Warning" },
    { tone: "idle", text: "Not started yet" },
    { tone: "bad", text: "Unreachable" },
    { tone: "bad", text: "Failing" },
  ]);
});

test("a proxy is called by its display name, and its role is unknown before it has registered", () => {
  expect([
    titleOf({ name: "sydney", display_name: "" }),
    titleOf({ name: "sydney", display_name: "Sydney, AU" }),
  ]).toEqual(["sydney", "Sydney, AU"]);
  const role = (path_app_url: string, derp_enabled: boolean, derp_only: boolean, wildcard_hostname = "") =>
    roleOf({ path_app_url, derp_enabled, derp_only, wildcard_hostname });
  expect([
    role("", false, false),
    role("https://a", true, true),
    role("https://a", true, false),
    role("https://a", false, false),
    role("https://a", true, false, "*.a"),
  ]).toEqual(["", "Relay only", "Relay, terminals", "Terminals", "Relay, terminals, apps"]);
});

test("names that no proxy can have are refused in a sentence", () => {
  expect(nameProblem("sydney-2")).toBeUndefined();
  expect(nameProblem("primary")).toBe('The name "primary" is reserved.');
  expect(nameProblem("me")).toBe('The name "me" is reserved.');
  expect(nameProblem("")).toBe("The name must not be empty.");
  expect(nameProblem("Sydney")).toBe("The name must consist of lower-case letters, digits and hyphens.");
  expect(nameProblem("x".repeat(33))).toBe("The name must have at most 32 characters.");
});

const startOf = (proxy: Partial<StartedProxy>, primary = "https://coder.example.org") =>
  startLine(
    {
      name: "sydney",
      path_app_url: "",
      wildcard_hostname: "",
      derp_enabled: false,
      derp_only: false,
      status: { status: "unregistered", report: { errors: [], warnings: [] }, checked_at: "0001-01-01T00:00:00Z" },
      ...proxy,
    },
    primary,
  );

test("the line that starts a proxy holds no token, and proposes an address below the deployment's name", () => {
  expect(startOf({})).toBe(
    "coder wsproxy server --primary-access-url https://coder.example.org --access-url https://sydney.coder.example.org " +
      "--proxy-session-token-file proxy-token",
  );
  for (const primary of [
    "http://10.0.0.1:3000",
    "http://coder.localhost:3000",
    "http://localhost:3000",
    "https://corp",
  ])
    expect(startOf({}, primary)).toContain(` --access-url https://sydney.example.com `);
  expect(startOf({ path_app_url: "https://syd.example.net:8443" })).toContain(
    " --access-url https://syd.example.net:8443 ",
  );
  expect(startOf({}, "http://[::1]:3000")).toContain(" --primary-access-url 'http://[::1]:3000' ");
});

test("a proxy that is started again serves what it served before", () => {
  const flags = (derp_enabled: boolean, derp_only: boolean, wildcard_hostname = "", registered = true) => {
    const status = {
      status: registered ? ("unreachable" as const) : ("unregistered" as const),
      report: { errors: [], warnings: [] },
      checked_at: "2026-01-01T00:00:00Z",
    };
    const proxy = { path_app_url: "https://s", derp_enabled, derp_only, wildcard_hostname, status };
    return / --access-url https:\/\/s (.*)--proxy-session-token-file/.exec(startOf(proxy))?.[1]?.trim();
  };
  expect([
    flags(true, false),
    flags(true, false, "*.s"),
    flags(true, true),
    flags(true, true, "*.s"),
    flags(false, false),
    flags(false, false, "*.s"),
    flags(false, false, "", false),
    flags(false, false, "*.s", false),
  ]).toEqual([
    "",
    "--wildcard-access-url '*.s'",
    "--derp-only",
    "--derp-only",
    "--derp-server-enable=false",
    "--wildcard-access-url '*.s' --derp-server-enable=false",
    "",
    "--wildcard-access-url '*.s'",
  ]);
});
