import { randomUUID } from "node:crypto";
import type { CryptoKey } from "coder-protocol/rest/proxy-apps";
import { expect, test } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { ADA, AGENT_ID, factsOf } from "../../../test/fake-primary-apps.ts";
import { signAppToken } from "../../base/app-token.ts";
import { AppKeys } from "./app-keys.ts";

const PARTIES = { issuer: "d", audience: "proxy:p", now: Date.now() };
const secretOf = (sequence: number): string => sequence.toString(16).padStart(2, "0").repeat(32);

function keyOf(sequence: number): CryptoKey {
  const [starts_at, deletes_at] = [-3_600_000, 3_600_000].map((ms) => new Date(PARTIES.now + ms).toISOString());
  const feature = "workspace_apps_token";
  return { feature, secret: secretOf(sequence), sequence, starts_at: starts_at!, deletes_at: deletes_at! };
}

function tokenOf(sequence: number): string {
  const facts = { ...factsOf({ access_method: "terminal" }), jti: randomUUID() };
  return signAppToken(facts, { secret: secretOf(sequence), sequence, deletesAt: Infinity }, PARTIES);
}

function started() {
  const at = { now: 0, asked: 0, answer: (): readonly CryptoKey[] => [keyOf(1)] };
  const keys = new AppKeys({
    ask: async () => {
      at.asked++;
      return at.answer();
    },
    clock: () => instant(at.now),
    reasonOf: () => "no answer",
  });
  return { at, keys };
}

test("keys are asked for once, however many tokens come at the same time", async () => {
  const { at, keys } = started();
  const verdicts = await Promise.all([1, 1, 1].map((sequence) => keys.verify(tokenOf(sequence), PARTIES)));
  for (const verdict of verdicts)
    expect(verdict).toMatchObject({ claims: { agent_id: AGENT_ID, grant: { visitor: { id: ADA.id } } } });
  expect(at.asked).toBe(1);
});

test("a key that is not known is asked for, at most once in ten seconds", async () => {
  const { at, keys } = started();
  await keys.verify(tokenOf(1), PARTIES);
  at.answer = () => [keyOf(1), keyOf(2)];
  expect(await keys.verify(tokenOf(2), PARTIES)).toEqual({ refused: "unknown-key" });
  at.now += 10_000;
  expect(await keys.verify(tokenOf(2), PARTIES)).toHaveProperty("claims");
  for (let i = 0; i < 100; i++) expect(await keys.verify(tokenOf(3), PARTIES)).toEqual({ refused: "unknown-key" });
  expect(at.asked).toBe(2);
});

test("keys are asked for again after ten minutes, and those known count while the primary does not answer", async () => {
  const { at, keys } = started();
  await keys.freshen();
  await keys.freshen();
  expect(at.asked).toBe(1);
  at.answer = () => {
    throw new Error("away");
  };
  at.now += 600_000;
  await keys.freshen();
  expect([at.asked, keys.problem]).toEqual([2, "no answer"]);
  expect(await keys.verify(tokenOf(1), PARTIES)).toHaveProperty("claims");
  at.now += 1_000;
  expect(await keys.verify(tokenOf(2), PARTIES)).toEqual({ unknown: "no answer" });
  at.answer = () => [keyOf(2)];
  await keys.freshen();
  expect(keys.problem).toBe(undefined);
  expect(await keys.verify(tokenOf(1), PARTIES)).toEqual({ refused: "unknown-key" });
});

test("after the proxy's token was refused no key counts, until the primary gives keys again", async () => {
  const { at, keys } = started();
  await keys.freshen();
  keys.forget();
  at.answer = () => {
    throw new Error("refused");
  };
  expect(await keys.verify(tokenOf(1), PARTIES)).toEqual({ unknown: "no answer" });
});
