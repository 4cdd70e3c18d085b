import { expect, test } from "vitest";
import { parseAppLabel } from "../apps/label.ts";
import { appAlias } from "./app-alias.ts";
import { appLabel, MAX_LABEL, portProxyAddress } from "./app-name.ts";
import { parseWildcard, type Wildcard } from "./wildcard.ts";

const wildcard = (text: string): Wildcard => parseWildcard(text) as Wildcard;
const alias = appAlias("11111111-2222-3333-4444-555555555555");
const short = { agent: "main", workspace: "Dev", owner: "ada", alias };
const long = { agent: "a".repeat(20), workspace: "w".repeat(20), owner: "o".repeat(20), alias };

test("a name that fits is written out, and a longer one by the alias", () => {
  expect(appLabel("code", short)).toBe("code--main--dev--ada");
  expect(appLabel("code", long)).toBe(`code--${alias}`);
});

test("a label of 63 octets is the longest, and every label is read back", () => {
  for (let length = 1; length <= 32; length++) {
    for (const workspace of ["w", "w".repeat(16), "w".repeat(32)]) {
      const place = { agent: "main", workspace, owner: "o".repeat(length), alias };
      const label = appLabel("x".repeat(32), place);
      expect(label.length).toBeLessThanOrEqual(MAX_LABEL);
      const full = `${"x".repeat(32)}--main--${workspace}--${"o".repeat(length)}`;
      expect(label).toBe(full.length <= MAX_LABEL ? full : `${"x".repeat(32)}--${alias}`);
      expect(parseAppLabel(label)).not.toHaveProperty("error");
    }
  }
});

test("the address of a port has a place for its number, and fits with the longest one", () => {
  const url = new URL("https://coder.example.com:8443/");
  expect(portProxyAddress(short, wildcard("*.apps.example.com"), url)).toBe(
    "https://{{port}}--main--dev--ada.apps.example.com:8443",
  );
  expect(portProxyAddress(short, wildcard("*-apps.example.com:444"), url)).toBe(
    "https://{{port}}--main--dev--ada-apps.example.com:444",
  );
  const tight = { agent: "a".repeat(20), workspace: "w".repeat(20), owner: "o".repeat(13), alias };
  expect(portProxyAddress(tight, wildcard("*.x.y"), url)).toBe(`https://{{port}}--${alias}.x.y:8443`);
});
