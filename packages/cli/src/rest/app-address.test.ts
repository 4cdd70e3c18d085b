import { expect, test } from "vitest";
import { appAddress } from "./app-address.ts";

const app = { slug: "web", agent: "main", workspace: "dev", owner: "ada", subdomainName: "web--main--dev--ada" };
const deployment = new URL("https://coder.example.com/");

test("an app is opened at a host of its own where there is one, and below a path otherwise", () => {
  expect(appAddress(deployment, "*.apps.example.com:8443", app)).toBe(
    "https://web--main--dev--ada.apps.example.com:8443/",
  );
  expect(appAddress(deployment, "*-apps.example.com", app)).toBe("https://web--main--dev--ada-apps.example.com/");
  expect(appAddress(deployment, "", app)).toBe("https://coder.example.com/@ada/dev.main/apps/web/");
  expect(appAddress(deployment, "*.x.y", { ...app, subdomainName: "" })).toBe(
    "https://coder.example.com/@ada/dev.main/apps/web/",
  );
});
