import { expect, test } from "vitest";
import { ThreadShares } from "./thread-shares.ts";
import type { Volume } from "./volumes.ts";

const LOCAL: Volume = { id: "8:1", maySilence: false };

/** `/dead…` and `/slow…` are file systems of their own, which answer when told to. */
function shares(threads = 64) {
  const asked: string[] = [];
  const answers = new Map<string, (error?: Error) => void>();
  const found = new ThreadShares({
    threads,
    answerMs: 20,
    volumes: {
      of: (path) => {
        const [, name = ""] = path.toString().split("/");
        return /^(dead|slow)/.test(name) ? { id: name, maySilence: true } : LOCAL;
      },
    },
    examine: (path) => {
      asked.push(path);
      return new Promise((resolve, reject) => answers.set(path, (error) => (error ? reject(error) : resolve(0))));
    },
  });
  return { found, asked, answer: (path: string, error?: Error) => answers.get(path)!(error) };
}

const hang = (): Promise<never> => new Promise(() => undefined);

test("clients that hang on one file system, however many, stop neither files elsewhere nor look-ups", async () => {
  for (const threads of [64, 16, 4]) {
    const { found } = shares(threads);
    for (let client = 0; client < 100; client++)
      for (let i = 0; i < 3; i++) void found.onPaths(`client ${client}`, ["/dead/file"], hang);
    expect(await found.onPaths("other", ["/home/file"], async () => "read")).toBe("read");
  }
});

test("even when all turns are taken, there is a thread for what is not a client's", () => {
  const { found } = shares(64);
  let running = 0;
  for (let client = 0; client < 100; client++)
    void found.onPaths(`client ${client}`, [`/dead${client}/file`], () => {
      running++;
      return hang();
    });
  expect(running).toBe(36);
});

test("what the kernel alone serves is not asked, and an error is an answer", async () => {
  const { found, asked, answer } = shares();
  expect(await found.answers("/home")).toBe(true);
  expect(asked).toEqual([]);
  const answered = found.answers("/slow");
  answer("/slow", new Error("ENOENT"));
  expect(await answered).toBe(true);
});

test("a file system that does not answer is asked once, until it does", async () => {
  const { found, asked, answer } = shares();
  const paths = ["/dead/home", "/home", "/dead/other", "/dead2/x"];
  expect(found.maySilence(paths)).toBe(true);
  expect(found.maySilence(["/home"])).toBe(false);
  expect([...(await found.silent(paths))]).toEqual(["/dead/home", "/dead/other", "/dead2/x"]);
  expect(await found.answers("/dead/third")).toBe(false);
  expect(asked).toEqual(["/dead/home", "/dead2/x"]);
  answer("/dead/home");
  await Promise.resolve();
  const again = found.answers("/dead/home");
  answer("/dead/home");
  expect(await again).toBe(true);
});

test("the number of questions is limited", async () => {
  const { found, asked } = shares();
  const all = Array.from({ length: 100 }, (_, index) => `/dead${index}`);
  expect((await found.silent(all)).size).toBe(100);
  expect(asked).toHaveLength(8); // each holds a thread
});

test("a name is looked up as Node does", async () => {
  const { found } = shares();
  const lookup = found.lookupFor("client");
  const one = await new Promise((resolve) =>
    lookup("127.0.0.1", {}, (error, address, family) => resolve([error, address, family])),
  );
  expect(one).toEqual([null, "127.0.0.1", 4]);
  const all = await new Promise((resolve) =>
    lookup("::1", { all: true }, (error, addresses) => resolve([error, addresses])),
  );
  expect(all).toEqual([null, [{ address: "::1", family: 6 }]]);
  const failed = await new Promise((resolve) => lookup("a\0b", { all: true }, (error) => resolve(error)));
  expect(failed).toBeInstanceOf(Error);
});
