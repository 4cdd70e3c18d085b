import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { AppChains, chainId } from "./chains.ts";

const NOW = Date.UTC(2026, 10, 30);
const shared = randomBytes(32);
const chains = new AppChains(shared);
const stop = (name: string) => ({ hostname: `${name}.apps.test`, origin: `http://${name}.apps.test:8080` });
const finalUrl = "http://one.apps.test:8080/page?a=%2F";
const begin = (stops = [stop("two"), stop("three")], url = finalUrl) => chains.begin("ada", stops, url, NOW);
const pathOf = (href = "") => new URL(href).pathname;

test("security S10: a chain leads from host to host and back, at any server of the deployment", () => {
  const first = begin() ?? "";
  expect(first).toMatch(/^http:\/\/two\.apps\.test:8080\/\.coder\/chain\/[\w-]+$/);
  const other = new AppChains(shared);
  const id = chainId(pathOf(first)) ?? "";
  expect(other.stopsAt(id, "two.apps.test", NOW)).toBe(true);
  const second = other.next(id, "two.apps.test", "ada", NOW) ?? "";
  expect(second).toMatch(/^http:\/\/three\.apps\.test:8080\/\.coder\/chain\//);
  expect(chains.next(chainId(pathOf(second)) ?? "", "three.apps.test", "ada", NOW + 59_999)).toBe(finalUrl);
});

test("security S10: a chain is valid for one user, at the next host, in this deployment, and for a minute", () => {
  const id = chainId(pathOf(begin())) ?? "";
  const asked = [
    ["two.apps.test", "ada", NOW, chains],
    ["three.apps.test", "ada", NOW, chains],
    ["two.apps.test", "bob", NOW, chains],
    ["two.apps.test", "ada", NOW + 60_000, chains],
    ["two.apps.test", "ada", NOW, new AppChains(randomBytes(32))],
  ] as const;
  const found = asked.map(([host, user, now, by]) => by.next(id, host, user, now) !== undefined);
  expect(found).toEqual([true, false, false, false, false]);
  expect(chains.next(`${id.slice(0, -1)}${id.endsWith("A") ? "B" : "A"}`, "two.apps.test", "ada", NOW)).toBeUndefined();
});

test("there is no chain without further hosts, or for an address that is too long to be carried", () => {
  expect(begin([])).toBeUndefined();
  expect(begin(undefined, `${finalUrl}&${"x".repeat(2_000)}`)).toBeUndefined();
  const longest = begin(undefined, `${finalUrl}&${"x".repeat(1_800)}`) ?? "";
  expect(longest.length).toBeLessThan(4_000);
  const id = chainId(pathOf(longest)) ?? "";
  expect(chains.next(id, "two.apps.test", "ada", NOW)).toContain("three.apps.test");
});

test("other paths are not chains", () => {
  for (const path of [
    "/.coder/chain/",
    "/.coder/chain/x",
    `/.coder/chain/${"x".repeat(5_000)}`,
    `/x/.coder/chain/${"x".repeat(80)}`,
  ])
    expect(chainId(path)).toBeUndefined();
});
