/** The cost of a login does not depend on the account: counted in calls of scrypt and their parameters, which are independent of load. */
import type { ScryptOptions } from "node:crypto";
import { expect, test, vi } from "vitest";
import { addMember, firstUser, send, startServer } from "./helpers.ts";

const calls = vi.hoisted((): string[] => []);

vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof import("node:crypto")>();
  const scrypt = (
    password: string,
    salt: Uint8Array,
    length: number,
    options: ScryptOptions,
    done: (error: Error | null, key: Buffer) => void,
  ): void => {
    calls.push(`N=${options.N} r=${options.r} p=${options.p} salt=${salt.length} key=${length}`);
    crypto.scrypt(password, salt, length, options, done);
  };
  return { ...crypto, scrypt };
});

test("security 38: unknown user, wrong password and suspended user cost the same hashes and get the same answer", async () => {
  await using at = await startServer();
  const owner = await firstUser(at.url);
  const bob = await addMember(at.url, owner.token, "bob");
  await send(at.url, "PUT", `/api/v2/users/${bob.id}/status/suspend`, { token: owner.token });
  const attempt = async (email: string, password: string) => {
    calls.length = 0;
    const answer = await send(at.url, "POST", "/api/v2/users/login", { body: { email, password } });
    return { status: answer.status, text: answer.text, calls: [...calls] };
  };
  const wrong = await attempt("ada@example.com", "a wrong password");
  expect(wrong.status).toBe(401);
  expect(wrong.calls).toHaveLength(1);
  expect(await attempt("nobody@example.com", "a wrong password")).toEqual(wrong);
  expect(await attempt("bob@example.com", "a wrong password")).toEqual(wrong);
  expect(await attempt("nobody@example.com", "")).toEqual(await attempt("ada@example.com", ""));
});
