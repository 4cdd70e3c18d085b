import { expect, test, vi } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { AGENT_ID, factsOf } from "../../../test/fake-primary-apps.ts";
import type { AppTokenClaims } from "../../base/app-token.ts";
import { AppGrants } from "./app-grants.ts";
import type { IssuedRight } from "./app-tokens.ts";

const QUESTION = {
  app_request: { access_method: "subdomain" },
  app_hostname: "a.near.example",
  session_token: "s",
} as const;
const SIGN_IN: IssuedRight = { refused: { status: 401, headers: {}, body: "" } };
const ACCEPT = "text/html";

function granted(endsAt?: number): IssuedRight {
  const times = { iss: "d", aud: "proxy:p", iat: 0, nbf: 0, exp: 60 };
  const facts = factsOf({ access_method: "subdomain" }, endsAt === undefined ? {} : { ends_at: endsAt });
  return { claims: { ...times, ...facts } satisfies AppTokenClaims };
}

function started(answer: () => IssuedRight | Promise<IssuedRight>) {
  const at = { now: 1_000, clock: 0, asked: 0, answer };
  const grants = new AppGrants({
    tokens: {
      issue: async () => {
        at.asked++;
        return await at.answer();
      },
    },
    now: () => at.now,
    clock: () => instant(at.clock),
  });
  return { at, grants };
}

test("a grant is kept while its token counts, and not beyond the end of the login", async () => {
  const { at, grants } = started(() => granted());
  await grants.ask(QUESTION, ACCEPT);
  at.now = 59_999;
  expect(grants.known(QUESTION, ACCEPT)).toHaveProperty("claims");
  at.now = 60_000;
  expect(grants.known(QUESTION, ACCEPT)).toBe(undefined);
  at.now = 1_000;
  at.answer = () => granted(5_000);
  await grants.ask(QUESTION, ACCEPT);
  expect(grants.known(QUESTION, ACCEPT)).toHaveProperty("claims");
  at.now = 5_000;
  expect(grants.known(QUESTION, ACCEPT)).toBe(undefined);
});

test("a grant is kept for a minute at most, whatever the time of day becomes", async () => {
  const { at, grants } = started(() => granted());
  await grants.ask(QUESTION, ACCEPT);
  at.now = -3_600_000;
  at.clock = 60_000;
  expect(grants.known(QUESTION, ACCEPT)).toBe(undefined);
});

test("an answer that was under way when rights came into doubt is not kept", async () => {
  const late = Promise.withResolvers<IssuedRight>();
  const { at, grants } = started(() => late.promise);
  for (const forget of [() => grants.forgetAgent(AGENT_ID), () => grants.forgetAll()]) {
    const asked = grants.ask(QUESTION, ACCEPT);
    forget();
    expect(grants.known(QUESTION, ACCEPT)).toBe(undefined);
    late.resolve(granted());
    expect(await asked).toHaveProperty("claims");
    expect(grants.known(QUESTION, ACCEPT)).toBe(undefined);
  }
  expect(at.asked).toBe(2);
});

test("the answer that a visitor has to sign in is kept for a second, and other refusals are requested each time", async () => {
  const { at, grants } = started(() => SIGN_IN);
  await grants.ask(QUESTION, ACCEPT);
  expect(grants.known(QUESTION, "*/*")).toEqual(SIGN_IN);
  at.clock = 1_000;
  expect(grants.known(QUESTION, ACCEPT)).toBe(undefined);
  at.answer = () => ({ refused: { status: 404, headers: {}, body: "" } });
  await grants.ask(QUESTION, ACCEPT);
  expect(grants.known(QUESTION, ACCEPT)).toBe(undefined);
});

test("an answer that redirects to the address that one visitor requested is not given to visitors of other addresses", async () => {
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const grants = new AppGrants({
    tokens: {
      issue: async ({ app_path: path }) => {
        asked.push(path!);
        await new Promise<void>((resolve) => answers.push(resolve));
        return { refused: { status: 303, headers: { location: `https://elsewhere${path}` }, body: "" } };
      },
    },
    now: () => 0,
    clock: () => instant(0),
  });
  const at = (path: string) => ({ ...QUESTION, app_path: path, app_query: "" });
  const first = grants.ask(at("/first"), ACCEPT);
  const known = grants.known(at("/second"), ACCEPT);
  const others = [grants.ask(at("/second"), ACCEPT), grants.ask(at("/second"), ACCEPT)];
  answers.shift()!();
  expect(await known).toBe(undefined);
  expect(await first).toMatchObject({ refused: { headers: { location: "https://elsewhere/first" } } });
  await vi.waitFor(() => expect(answers).toHaveLength(1));
  answers.shift()!();
  for (const other of others)
    expect(await other).toMatchObject({ refused: { headers: { location: "https://elsewhere/second" } } });
  expect(asked).toEqual(["/first", "/second"]);
});
