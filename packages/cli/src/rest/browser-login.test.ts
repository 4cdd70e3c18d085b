import { expect, it } from "vitest";
import type { Ask } from "../ui/prompt.ts";
import { type BrowserLogin, tokenFromBrowser } from "./browser-login.ts";

const url = new URL("https://coder.example.com/");

async function logIn(login: BrowserLogin, answer: Ask) {
  const said: string[] = [];
  const conversation = { ask: answer, say: (text: string) => void said.push(text) };
  const token = await tokenFromBrowser(url, login, conversation, new AbortController().signal);
  return { token, said: said.join("\n") };
}

it("takes a pasted token where nothing can listen, and opens no page that could not send it", async () => {
  const opened: string[] = [];
  const login: BrowserLogin = {
    openPage: async (page) => void opened.push(page),
    listen: async () => {
      throw Object.assign(new Error("listen EPERM: operation not permitted 127.0.0.1"), { code: "EPERM" });
    },
  };
  const { token, said } = await logIn(login, async () => "pasted-token");
  expect([token, opened]).toEqual(["pasted-token", []]);
  expect(said).toContain("https://coder.example.com/cli-auth");
});

it("takes the token that the page sends, and ends the question and the listener", async () => {
  let disposed = 0;
  const login: BrowserLogin = {
    openPage: async () => undefined,
    listen: async () => ({
      page: new URL("https://coder.example.com/cli-auth?state=x"),
      token: Promise.resolve("sent-token"),
      [Symbol.asyncDispose]: async () => void disposed++,
    }),
  };
  let question: AbortSignal | undefined;
  const { token } = await logIn(login, (_, { signal }) => {
    question = signal;
    return new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  });
  expect([token, disposed, question?.aborted]).toEqual(["sent-token", 1, true]);
});
