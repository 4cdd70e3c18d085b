import { expect, test } from "vitest";
import { openerOf, vscodeUri } from "./open-editor.ts";

const target = {
  deploymentUrl: new URL("https://coder.example.com/"),
  owner: "alice",
  workspace: "dev",
  agent: "main",
  folder: undefined,
  token: undefined,
};

test("VS Code gets the workspace, the deployment and the folder", () => {
  expect(vscodeUri(target)).toBe(
    "vscode://coder.coder-remote/open?owner=alice&workspace=dev&agent=main&openRecent=true&url=https%3A%2F%2Fcoder.example.com",
  );
  const uri = new URL(vscodeUri({ ...target, agent: undefined, folder: "/home/a b&c=d#e", token: "t-1" }));
  expect(Object.fromEntries(uri.searchParams)).toEqual({
    owner: "alice",
    workspace: "dev",
    folder: "/home/a b&c=d#e",
    url: "https://coder.example.com",
    token: "t-1",
  });
});

test.each([
  ["linux", "xdg-open", ["vscode://x?a&b"]],
  ["freebsd", "xdg-open", ["vscode://x?a&b"]],
  ["darwin", "open", ["vscode://x?a&b"]],
  ["win32", "rundll32.exe", ["url.dll,FileProtocolHandler", "vscode://x?a&b"]],
] as const)("on %s an address is opened without a shell", (platform, file, args) => {
  expect(openerOf(platform, "vscode://x?a&b")).toEqual({ file, args });
});
