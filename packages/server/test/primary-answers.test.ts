/** How a workspace proxy interprets the primary's answers about visitors. */

import { expect, onTestFinished, test } from "vitest";
import { dialerToOthers } from "../src/base/outgoing.ts";
import { isTokenRefused, Primary } from "../src/proxy/primary.ts";
import { ProxyToken } from "../src/proxy/token.ts";
import { FakePrimary } from "./fake-primary.ts";
import { FakeApps, json } from "./fake-primary-apps.ts";

const PROXY_ID = "0b4f42b9-3a9c-4d0e-8f52-6f6f0c7f9d11";
const TOKEN = `${PROXY_ID}:${"5e".repeat(32)}`;

async function start() {
  const fake = await new FakePrimary(TOKEN).listen();
  const apps = new FakeApps(PROXY_ID);
  fake.apps = apps;
  const dialer = dialerToOthers();
  const primary = new Primary({ url: new URL(fake.url), token: new ProxyToken({ text: TOKEN }), dialer });
  onTestFinished(async () => {
    dialer.close();
    await fake[Symbol.asyncDispose]();
  });
  const ask = () => primary.issueAppToken({ app_request: { access_method: "terminal" } }, "application/json");
  return { fake, apps, ask };
}

test("a refusal counts only if the primary marks it as its decision", async () => {
  const { apps, ask } = await start();
  for (const status of [303, 400, 401, 403, 404, 409]) {
    apps.issue = () => json(status, { message: "no" });
    apps.decides = true;
    expect(await ask()).toMatchObject({ refused: { status } });
    apps.decides = false;
    await expect(ask()).rejects.toMatchObject({ status });
  }
  for (const status of [429, 500, 503]) {
    apps.issue = () => json(status, { message: "busy" });
    apps.decides = true;
    await expect(ask()).rejects.toMatchObject({ status });
  }
});

test("a refusal of the proxy's own token differs from one of a visitor", async () => {
  const { apps, ask, fake } = await start();
  apps.issue = () => json(404, {});
  apps.decides = false;
  expect(isTokenRefused(await ask().catch((error: unknown) => error))).toBe(false);
  fake.token = "another";
  expect(isTokenRefused(await ask().catch((error: unknown) => error))).toBe(true);
});
