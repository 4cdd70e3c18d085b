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
  const at = {
    now: 0,
    asked: 0,
    token: "first",
    answer: (): readonly CryptoKey[] | Promise<readonly CryptoKey[]> => [keyOf(1)],
  };
  const keys = new AppKeys({
    ask: async () => {
      at.asked++;
      return at.answer();
    },
    token: () => at.token,
    clock: () => instant(at.now),
    reasonOf: () => "no answer",
  });
  return { at, keys };
}

test("keys are requested once, however many tokens arrive at the same time", async () => {
  const { at, keys } = started();
  const verdicts = await Promise.all([1, 1, 1].map((sequence) => keys.verify(tokenOf(sequence), PARTIES)));
  for (const verdict of verdicts)
    expect(verdict).toMatchObject({ claims: { agent_id: AGENT_ID, grant: { visitor: { id: ADA.id } } } });
  expect(at.asked).toBe(1);
});

test("an unknown key is requested at most once in ten seconds", async () => {
  const { at, keys } = started();
  await keys.verify(tokenOf(1), PARTIES);
  at.answer = () => [keyOf(1), keyOf(2)];
  expect(await keys.verify(tokenOf(2), PARTIES)).toEqual({ refused: "unknown-key" });
  at.now += 10_000;
  expect(await keys.verify(tokenOf(2), PARTIES)).toHaveProperty("claims");
  for (let i = 0; i < 100; i++) expect(await keys.verify(tokenOf(3), PARTIES)).toEqual({ refused: "unknown-key" });
  expect(at.asked).toBe(2);
});

test("keys are requested again after ten minutes, and known ones are accepted while the primary does not answer", async () => {
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

test("after the proxy's token was refused no key is accepted until the primary gives keys again", async () => {
  const { at, keys } = started();
  await keys.freshen();
  keys.forget();
  at.answer = () => {
    throw new Error("refused");
  };
  expect(await keys.verify(tokenOf(1), PARTIES)).toEqual({ unknown: "no answer" });
});

test("keys of the proxy's former token are no longer accepted, although the new ones have the same number", async () => {
  const { at, keys } = started();
  const forged = tokenOf(1);
  expect(await keys.verify(forged, PARTIES)).toHaveProperty("claims");
  at.token = "second";
  at.answer = () => [{ ...keyOf(1), secret: secretOf(2) }];
  expect(await keys.verify(forged, PARTIES)).toEqual({ refused: "signature" });
  expect(at.asked).toBe(2);
});

test("a signature of another key causes a request for keys, at most once in ten seconds", async () => {
  const { at, keys } = started();
  await keys.verify(tokenOf(1), PARTIES);
  at.answer = () => [{ ...keyOf(1), secret: secretOf(2) }];
  const other = signAppToken(
    factsOf({ access_method: "terminal" }),
    { ...keyOf(1), secret: secretOf(2), deletesAt: Infinity },
    PARTIES,
  );
  expect(await keys.verify(other, PARTIES)).toEqual({ refused: "signature" });
  at.now += 10_000;
  expect(await keys.verify(other, PARTIES)).toHaveProperty("claims");
  for (let i = 0; i < 100; i++) await keys.verify(tokenOf(1), PARTIES);
  expect(at.asked).toBe(2);
});

test("keys that arrive after they were forgotten are not accepted", async () => {
  const { at, keys } = started();
  const late = Promise.withResolvers<readonly CryptoKey[]>();
  at.answer = () => late.promise;
  const asked = keys.freshen();
  keys.forget();
  late.resolve([keyOf(1)]);
  await asked;
  at.answer = () => [];
  expect(await keys.verify(tokenOf(1), PARTIES)).toEqual({ refused: "unknown-key" });
});
