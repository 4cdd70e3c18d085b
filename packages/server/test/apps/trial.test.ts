/** A server that is tried on one machine: no access URL, no wildcard, only loopback. */
import { expect, test } from "vitest";
import { isTrial } from "../../src/base/own-addresses.ts";
import { parseWildcard, type Wildcard } from "../../src/base/wildcard.ts";
import { cookieWarnings, siteWarnings } from "../../src/health/wildcard.ts";
import { PASSWORD, send, startServer } from "../helpers.ts";
import { startApps } from "./helpers.ts";

const TRIAL = { flags: { "wildcard-access-url": undefined } };

test("without a setting, web apps are served below coder.localhost, and every other name works as before", async () => {
  await using apps = await startApps(TRIAL);
  await apps.program(8080, (_request, response) => response.end("program"));
  const { port } = apps.test;
  const { token } = apps.ada;
  expect((await apps.send(apps.host(8080), "/", { token })).text).toBe("program");
  for (const host of ["127.0.0.1", "localhost", `coder.localhost:${port}`]) {
    const answer = await apps.send(host, "/api/v2/applications/host", { token });
    expect(answer.text).toBe(`{"host":"*.coder.localhost:${port}"}`);
  }
  const regions = JSON.parse((await apps.send("localhost", "/api/v2/regions", { token })).text);
  expect(regions.regions[0]).toMatchObject({
    path_app_url: `http://coder.localhost:${port}`,
    wildcard_hostname: `*.coder.localhost:${port}`,
  });
  const navigate = { Accept: "text/html", "Sec-Fetch-Mode": "navigate" };
  const signIn = await apps.send(apps.host(8080), "/", { headers: navigate });
  expect(signIn.headers.location).toMatch(new RegExp(`^http://coder\\.localhost:${port}/api/v2/applications/`));
  // Clients that cannot resolve such a name are shown only the address.
  expect((await apps.send("127.0.0.1", "/api/v2/derp-map", { token })).text).not.toContain("coder.localhost");
  const info = JSON.parse((await apps.send("127.0.0.1", "/api/v2/buildinfo")).text);
  expect(info.dashboard_url).toBe(`http://127.0.0.1:${port}`);
});

test("an empty setting switches web apps off", async () => {
  await using apps = await startApps({ flags: { "wildcard-access-url": "" } });
  expect((await apps.send(apps.host(8080), "/", { token: apps.ada.token })).status).toBe(421);
});

test.each([
  ["127.0.0.1", true],
  ["::1", true],
  ["localhost", true],
  ["0.0.0.0", false],
  ["", false],
  ["192.0.2.1", false],
])("a server that listens on %j is on trial: %s", (host, trial) => {
  const http = { host, port: 7080 };
  expect(isTrial({ accessUrl: undefined, http, tls: undefined })).toBe(trial);
  expect(isTrial({ accessUrl: new URL("http://127.0.0.1:7080"), http, tls: undefined })).toBe(false);
  expect(isTrial({ accessUrl: undefined, http, tls: { address: http } })).toBe(false);
});

test("security S3: a browser's login at a shared name causes a warning in the log and in the health report", async () => {
  await using test = await startServer({ flags: { "wildcard-access-url": undefined } });
  const user = { email: "ada@example.com", username: "ada", name: "Ada", password: PASSWORD, trial: false };
  await send(test.url, "POST", "/api/v2/users/first", { body: user });
  const login = async (host: string, headers: Record<string, string>) => {
    const body = { email: user.email, password: PASSWORD };
    const answer = await send(test.url, "POST", "/api/v2/users/login", { body, headers: { Host: host, ...headers } });
    expect(answer.status).toBe(201);
    return test.log.text.split("ECOOK01").length - 1;
  };
  const browser = (host: string) => ({ Origin: `http://${host}` });
  const own = `coder.localhost:${test.port}`;
  expect(await login(own, browser(own))).toBe(0);
  expect(await login(`127.0.0.1:${test.port}`, {})).toBe(0);
  expect(await login(`127.0.0.1:${test.port}`, browser(`127.0.0.1:${test.port}`))).toBe(1);
  expect(await login(`localhost:${test.port}`, browser(`localhost:${test.port}`))).toBe(2);
  const codes = (url: string): string[] => cookieWarnings(new URL(url)).map(({ code }) => code);
  for (const url of ["http://127.0.0.1:7080", "http://localhost:7080", "http://[::1]:7080"])
    expect([url, codes(url)]).toEqual([url, ["ECOOK01"]]);
  for (const url of ["http://coder.localhost:7080", "https://coder.example.com"]) expect(codes(url)).toEqual([]);
});

test.each([
  ["*.coder.example.com", "https://coder.example.com", ["EWILD01"]],
  ["*-apps.example.com", "https://coder.example.com", ["EWILD01"]],
  ["*.example-apps.com", "https://coder.example.com", []],
  ["*.apps.example.co.uk", "https://coder.EXAMPLE.co.uk", ["EWILD01"]],
  ["*.example-apps.co.uk", "https://coder.example.co.uk", []],
  // Names of one provider's customers are not one site, unless both belong to the same customer.
  ["*.apps.herokuapp.com", "https://coder.herokuapp.com", []],
  ["*.apps.ours.herokuapp.com", "https://coder.ours.herokuapp.com", ["EWILD01"]],
  // A top-level name that exists only in a private network.
  ["*.apps.corp", "https://coder.corp", []],
  ["*.apps.example.corp", "https://coder.example.corp", ["EWILD01"]],
  ["*.apps.example.com", "https://192.0.2.1", []],
  ["*.coder.localhost", "http://coder.localhost:7080", []],
])("apps of %s beside %s: %j", async (pattern, url, codes) => {
  const warnings = await siteWarnings(parseWildcard(pattern) as Wildcard, new URL(url));
  expect(warnings.map(({ code }) => code)).toEqual(codes);
});

test("a server whose apps are one site with it logs a warning when it starts", async () => {
  const warned = async (pattern: string): Promise<boolean> => {
    await using test = await startServer({
      flags: { "wildcard-access-url": pattern, "access-url": "https://coder.example.com" },
    });
    return test.log.text.includes("EWILD01: ");
  };
  expect(await warned("*.apps.example.com")).toBe(true);
  expect(await warned("*.example-apps.com")).toBe(false);
});

test("the health report requests the name of an app, and reports what else answers there", async () => {
  const report = async (flags: Record<string, string | undefined>) => {
    await using apps = await startApps({ flags });
    const answer = await apps.send("127.0.0.1", "/api/v2/debug/health?force=true", { token: apps.admin.token });
    return JSON.parse(answer.text).wildcard;
  };
  expect(await report({ "wildcard-access-url": undefined })).toMatchObject({
    severity: "ok",
    warnings: [],
    wildcard_access_url: "*.coder.localhost",
  });
  expect(await report({ "wildcard-access-url": "*.coder.localhost:9" })).toMatchObject({
    severity: "error",
    error: expect.stringMatching(/^EWILD02: cannot reach http:\/\/coder-health\.coder\.localhost:9: /),
  });
  expect(await report({ "wildcard-access-url": "*.apps.invalid" })).toMatchObject({
    severity: "error",
    error: expect.stringMatching(/^EWILD03: the name coder-health\.apps\.invalid has no address/),
  });
});
