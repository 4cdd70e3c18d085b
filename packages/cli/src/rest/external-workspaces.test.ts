import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { expect, it } from "vitest";
import { type ExternalAgent, rotateAgentToken } from "./external-workspaces.ts";

const external = {
  workspace: { id: "w", name: "box", ownerName: "ada" },
  agent: { name: "main" },
} as ExternalAgent;

function refusing(code: string): Deployment {
  return { call: () => Promise.reject(new ClientError(code as "ERR_NOT_FOUND", "refused")) } as unknown as Deployment;
}

it("names what to do instead where a deployment replaces no tokens", async () => {
  const { signal } = new AbortController();
  await expect(rotateAgentToken(refusing("ERR_NOT_FOUND"), external, signal)).rejects.toMatchObject({
    code: "ERR_NOT_FOUND",
    message: 'The token of agent "main" was not replaced',
    next: ["coder show ada/box", expect.stringContaining("register its machine again")],
  });
  await expect(rotateAgentToken(refusing("ERR_FORBIDDEN"), external, signal)).rejects.toMatchObject({
    code: "ERR_FORBIDDEN",
  });
});
