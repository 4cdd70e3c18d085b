import { expect, test } from "vitest";
import { nameProblem, roleOf, startLine, statusOf, titleOf } from "./proxy-words.ts";

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

test("the line that starts a proxy holds no token, and proposes an address below the deployment's name", () => {
  const line = (primary: string, path_app_url = "") => startLine({ name: "sydney", path_app_url }, primary);
  expect(line("https://coder.example.org")).toBe(
    "coder wsproxy server --primary-access-url https://coder.example.org --access-url https://sydney.coder.example.org " +
      "--proxy-session-token-file proxy-token",
  );
  for (const primary of [
    "http://10.0.0.1:3000",
    "http://coder.localhost:3000",
    "http://localhost:3000",
    "https://corp",
  ])
    expect(line(primary)).toContain(` --access-url https://sydney.example.com `);
  expect(line("https://coder.example.org", "https://syd.example.net:8443")).toContain(
    " --access-url https://syd.example.net:8443 ",
  );
  expect(line("http://[::1]:3000")).toContain(" --primary-access-url 'http://[::1]:3000' ");
});
