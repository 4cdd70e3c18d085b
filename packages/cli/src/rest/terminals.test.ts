import type { Deployment } from "coder-client/rest/deployment";
import { expect, it } from "vitest";
import { UsageError } from "../errors/usage-error.ts";
import { endTerminal } from "./terminals.ts";

it("ends no terminal for an empty id, which begins every id", async () => {
  const asked: string[] = [];
  const deployment = { call: async (path: string) => void asked.push(path) } as unknown as Deployment;
  const ended = endTerminal(deployment, "demo", "", new AbortController().signal);
  await expect(ended).rejects.toThrow(UsageError);
  await expect(ended).rejects.toThrow("coder terminals list demo");
  expect(asked).toEqual([]);
});
