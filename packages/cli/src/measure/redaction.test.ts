import fc from "fast-check";
import { expect, test } from "vitest";
import { Redactor } from "./redaction.ts";

const TOKEN = "aB3dE6gH9j-kLmNoPqRsTuVwXyZ012345";

test.each([
  ["the session's token", `token is ${TOKEN} here`, TOKEN],
  ["it in a query", `https://x/?coder_session_token=${encodeURIComponent("s3cr=t/known")}&a=1`, "s3cr%3Dt%2Fknown"],
  ["any Coder token", "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV", "ABCDEFGHIJKLMNOPQRSTUV"],
  ["an Authorization header", "Authorization: Bearer abc.def.ghi", "abc.def.ghi"],
  ["a bearer in a sentence", "sent Bearer abcdefgh12345678 and", "abcdefgh12345678"],
  ["a cookie", "cookie: a=1; coder_session_token=zzz", "zzz"],
  ["a user in a URL", "proxy http://alice:hunter2@proxy:3128/", "hunter2"],
  ["a private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nabcd\n-----END OPENSSH PRIVATE KEY-----", "abcd"],
  ["a node's private key", `privkey:${"0a".repeat(32)}`, "0a0a0a"],
  ["a password in a log", 'login password="tr0ub4dor&3" failed', "tr0ub4dor"],
  ["a JSON text in a log", '{"api_key":"kkkkkkkk","b":1}', "kkkkkkkk"],
])("%s is taken out of text", (_, text, secret) => {
  const redacted = new Redactor([TOKEN, "s3cr=t/known"]).text(text);
  expect(redacted).not.toContain(secret);
  expect(redacted).toContain("[redacted]");
});

test("other text stays", () => {
  const redactor = new Redactor([TOKEN, "", "abc", undefined]);
  for (const text of [
    "connected to nodekey:0a1b by 203.0.113.7:41641 in 12 ms",
    "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "https://coder.example.com/api/v2/buildinfo",
    "abc",
  ])
    expect(redactor.text(text)).toBe(text);
});

test("secret fields are replaced whatever they hold, and texts everywhere", () => {
  const redactor = new Redactor([TOKEN]);
  const input = {
    auth_token: "short",
    nested: [{ session_token: 12, note: `has ${TOKEN}`, password: "", tokens: null, is_secret: true }],
    [`key ${TOKEN}`]: 1,
    count: 7,
  };
  expect(redactor.json(input)).toEqual({
    auth_token: "[redacted]",
    nested: [{ session_token: "[redacted]", note: "has [redacted]", password: "", tokens: null, is_secret: true }],
    "key [redacted]": 1,
    count: 7,
  });
  expect(input.auth_token).toBe("short");
});

test("security 37: a known secret never gets through, at any position", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string({ minLength: 8, maxLength: 40 }), (before, after, secret) => {
      fc.pre(!"[redacted]".includes(secret));
      const { text } = new Redactor([secret]).json({ text: `${before}${secret}${after}` }) as { text: string };
      expect(text.replaceAll("[redacted]", "")).not.toContain(secret);
    }),
  );
});
