import { expect, test } from "vitest";
import { localAgentSocket } from "./local-agent.ts";

test.each([
  ["linux", { SSH_AUTH_SOCK: "/run/agent" }, "/run/agent"],
  ["linux", { SSH_AUTH_SOCK: "" }, undefined],
  ["darwin", {}, undefined],
  ["win32", {}, "\\\\.\\pipe\\openssh-ssh-agent"],
  ["win32", { SSH_AUTH_SOCK: "\\\\.\\pipe\\other" }, "\\\\.\\pipe\\other"],
] as const)("on %s with %j the agent is at %s", (platform, environment, socket) => {
  expect(localAgentSocket(environment, platform)).toBe(socket);
});
