import type { WorkspaceApp } from "coder-protocol/rest/workspace-apps";
import { expect, test } from "vitest";
import { appLink } from "./app-links.ts";

const place = { owner: "ada", workspace: "dev", agent: "main", host: "*.apps.example.com:8443", protocol: "https:" };
const app = (fields: Partial<WorkspaceApp>) =>
  ({
    slug: "web",
    url: "http://127.0.0.1:8080",
    external: false,
    command: "",
    subdomain_name: "web--main--dev--ada",
    ...fields,
  }) as WorkspaceApp;

test("an app is opened at a host of its own, below a path, or in the terminal", () => {
  expect(appLink(app({}), place)).toEqual({
    href: "https://web--main--dev--ada.apps.example.com:8443/",
    belowPath: false,
  });
  expect(appLink(app({}), { ...place, host: "" })).toEqual({ href: "/@ada/dev.main/apps/web/", belowPath: true });
  expect(appLink(app({ subdomain_name: "" }), place)).toMatchObject({ belowPath: true });
  expect(appLink(app({ url: "", command: "htop -d 5" }), place)).toEqual({
    href: "/@ada/dev.main/terminal?command=htop%20-d%205",
    belowPath: false,
  });
});

test("security S24: an external app opens web pages and editors, and takes no token along", () => {
  const href = (url: string) => appLink(app({ external: true, url }), place).href;
  expect(href("https://example.com/?t=$SESSION_TOKEN")).toBe("https://example.com/?t=$SESSION_TOKEN");
  expect(href("vscode://x/y")).toBe("vscode://x/y");
  for (const url of [
    "javascript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,x",
    "http://x",
    "file:///x",
    "//x",
    "https://coder.example.com@evil.example/",
    "vscode://x\ny",
  ])
    expect([url, href(url)]).toEqual([url, undefined]);
});
