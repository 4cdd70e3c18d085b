import { expect, test } from "vitest";
import { appAddressIn } from "./app-regions.ts";

const app = { owner: "ada", workspace: "dev", agent: "main", slug: "web", label: "web--main--dev--ada" };
const region = (fields: object) => ({
  path_app_url: "https://near.example.com:8443",
  wildcard_hostname: "",
  ...fields,
});

test("an app is opened at a host of its own where the region has those, and below a path otherwise", () => {
  const wildcard = (pattern: string) => appAddressIn(region({ wildcard_hostname: pattern, path_apps: false }), app);
  expect(wildcard("*.near.example.com")).toEqual({
    href: "https://web--main--dev--ada.near.example.com:8443/",
    belowPath: false,
  });
  expect(wildcard("*-near.example.com:9443")?.href).toBe("https://web--main--dev--ada-near.example.com:9443/");
  const below = { href: "https://near.example.com:8443/@ada/dev.main/apps/web/", belowPath: true };
  expect(appAddressIn(region({ path_apps: true }), app)).toEqual(below);
  expect(appAddressIn(region({}), app)).toEqual(below); // a stock deployment
  expect(appAddressIn(region({ wildcard_hostname: "*.x.y" }), { ...app, label: "" })).toEqual(below);
});

test("a region that serves no apps below paths, or has no address, does not serve the app", () => {
  expect(appAddressIn(region({ path_apps: false }), app)).toBeUndefined();
  for (const path_app_url of ["", "near", "javascript:alert(1)", "file:///x"])
    expect(appAddressIn(region({ path_app_url }), app)).toBeUndefined();
});
