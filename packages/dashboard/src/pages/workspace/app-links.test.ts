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

test("an app is opened at the workspace proxy that the browser uses, where that one serves it", () => {
  const near = { path_app_url: "https://near.example.com", wildcard_hostname: "", path_apps: true };
  const href = (region: object, fields: Partial<WorkspaceApp> = {}) =>
    appLink(app(fields), { ...place, region: { ...near, ...region } });
  expect(href({})).toEqual({ href: "https://near.example.com/@ada/dev.main/apps/web/", belowPath: false });
  expect(href({ wildcard_hostname: "*.near.example.com" }).href).toBe("https://web--main--dev--ada.near.example.com/");
  expect(href({ path_apps: false }).href).toBe("https://web--main--dev--ada.apps.example.com:8443/");
  expect(href({}, { url: "", command: "htop" }).href).toBe("/@ada/dev.main/terminal?command=htop");
  expect(href({}, { external: true, url: "https://example.com/" }).href).toBe("https://example.com/");
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
