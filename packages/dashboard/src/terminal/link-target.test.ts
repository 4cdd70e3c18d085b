import { expect, test } from "vitest";
import { appAddress, linkTarget } from "./link-target.ts";

test("S22: only web and mail addresses are opened", () => {
  for (const text of [
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "vscode://x",
    "blob:https://x/1",
    "nothing",
    "",
    `https://example.com/${"a".repeat(5000)}`,
  ])
    expect(linkTarget(text)).toBeUndefined();
  expect(linkTarget("https://example.com/a?b#c")?.kind).toBe("outside");
  expect(linkTarget("mailto:a@example.com")?.kind).toBe("outside");
});

test("a link to localhost means the workspace", () => {
  const port = (text: string) => {
    const target = linkTarget(text);
    return target?.kind === "workspace-port" ? target.port : undefined;
  };
  expect(port("http://localhost:3000/path?x=1")).toBe(3000);
  expect(port("http://localhost")).toBe(80);
  expect(port("https://127.0.0.1/")).toBe(443);
  expect(port("http://127.1.2.3:8080")).toBe(8080);
  expect(port("http://0.0.0.0:5173")).toBe(5173);
  expect(port("http://[::1]:9000")).toBe(9000);
  expect(port("http://localhost.example.com")).toBeUndefined();
});

test("a page of the workspace's localhost is an app of the deployment, with its path and query", () => {
  const place = { host: "*.coder.localhost:7080", agent: "main", workspace: "demo", owner: "alice" };
  const at = (text: string, port: number) => appAddress(port, new URL(text), place, "http:")?.href;
  expect(at("http://localhost:5173/a/b?c=d", 5173)).toBe("http://5173--main--demo--alice.coder.localhost:7080/a/b?c=d");
  expect(at("https://127.0.0.1/", 443)).toBe("http://443s--main--demo--alice.coder.localhost:7080/");
  expect(at("http://localhost:8/", 8)).toBeUndefined();
  expect(appAddress(80, new URL("http://localhost/"), { ...place, host: "" }, "http:")).toBeUndefined();
  const long = { ...place, workspace: "w".repeat(60) };
  expect(appAddress(80, new URL("http://localhost/"), long, "http:")).toBeUndefined();
});
