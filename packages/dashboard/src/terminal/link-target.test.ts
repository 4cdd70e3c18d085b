import { expect, test } from "vitest";
import { linkTarget } from "./link-target.ts";

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
