import { expect, it } from "vitest";
import { shell, words } from "./shell.ts";

it("passes every word on as it is", async () => {
  const given = ["plain", "", "two words", "it's", '$HOME `x` "q" \\', "line\nbreak", "*?[a]", "-n", "a=b"];
  const printed = await shell(`${words("printf", "%s|")} ${words(...given)}`, process.env, 60_000);
  expect(printed).toBe(given.map((word) => `${word}|`).join(""));
});

it("reports how a command failed, also in the middle of a pipe", async () => {
  await expect(shell("(echo why >&2; exit 3) | cat", process.env, 60_000)).rejects.toThrow(/exit 3: why$/);
});

it("ends every process of a command that is late", async () => {
  await expect(shell("(cat /dev/zero; echo end) | cat > /dev/null", process.env, 50)).rejects.toThrow(
    /not done after 50 ms/,
  );
});
