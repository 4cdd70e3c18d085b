import { request } from "node:http";
import { expect, test } from "vitest";
import { listenForLogin } from "./login-listener.ts";

const DEPLOYMENT = new URL("https://coder.example.com/");
const TOKEN = "abcdefghij-0123456789abcdefghijkl";

function post(
  callback: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
  method = "POST",
): Promise<number> {
  const body = new URLSearchParams(form).toString();
  return new Promise((resolve, reject) => {
    const all = { Origin: DEPLOYMENT.origin, "Content-Type": "application/x-www-form-urlencoded", ...headers };
    const asking = request(callback, { method, headers: all, agent: false }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode ?? 0));
    });
    asking.once("error", reject);
    asking.end(body);
  });
}

test("takes the token of its own page, and nothing from anywhere else", async () => {
  await using listener = await listenForLogin(DEPLOYMENT);
  const { page } = listener;
  expect([page.origin, page.pathname]).toEqual([DEPLOYMENT.origin, "/cli-auth"]);
  const callback = page.searchParams.get("callback")!;
  const state = page.searchParams.get("state")!;
  expect(callback).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/token$/);
  expect(state).toMatch(/^[\w-]{32}$/);
  const good = { state, token: TOKEN };
  let taken: string | undefined;
  void listener.token.then((token) => {
    taken = token;
  });
  expect(await post(callback, good, { Origin: "https://evil.example" })).toBe(403);
  expect(await post(callback, good, { Origin: "null" })).toBe(403);
  expect(await post(callback, good, { Host: "evil.example" })).toBe(421);
  expect(await post(callback, { ...good, state: "x".repeat(32) })).toBe(403);
  expect(await post(callback, { ...good, token: "a b" })).toBe(403);
  expect(await post(callback, { ...good, extra: "x".repeat(5_000) })).toBe(413);
  expect(await post(`${callback}?token=${TOKEN}`, {}, {}, "GET")).toBe(404);
  expect(taken).toBeUndefined();
  expect(await post(callback, good)).toBe(200);
  expect(await listener.token).toBe(TOKEN);
});
