import { Deployment } from "coder-client/rest/deployment";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AgentTunnels, type TunnelRequest } from "./agent-tunnels.ts";

vi.mock("coder-client/connection/workspace-connection", () => ({
  WorkspaceConnection: {
    open: async () => ({
      on: () => undefined,
      close: async () => undefined,
      accessSignal: new AbortController().signal,
    }),
  },
}));

let tunnels: AgentTunnels;
beforeEach(() => {
  tunnels = new AgentTunnels({
    deployment: () => new Deployment({ url: new URL("http://deployment.test") }),
    onError: (error) => expect.unreachable(String(error)),
  });
});
afterEach(() => tunnels.close());

let agents = 0;
const to = (userId: string | undefined, agentId = `agent ${agents++}`): TunnelRequest => ({
  agentId,
  keyId: "key",
  token: "",
  userId,
});

test("one user has a share of the tunnels, and others find room", async () => {
  const first = to("ann");
  await tunnels.acquire(first);
  for (let more = 1; more < 64; more++) await tunnels.acquire(to("ann"));
  await expect(tunnels.acquire(to("ann"))).rejects.toMatchObject({ code: "too-many" });
  await tunnels.acquire(first); // a second use of one that is open
  await tunnels.acquire(to("bob"));
});

test("an unused tunnel of the user makes room for the next, and those of others stay", async () => {
  const ofBob = to("bob");
  const bobs = await tunnels.acquire(ofBob);
  bobs.release();
  for (let more = 0; more < 63; more++) await tunnels.acquire(to("ann"));
  (await tunnels.acquire(to("ann"))).release();
  await tunnels.acquire(to("ann"));
  expect((await tunnels.acquire(ofBob)).connection).toBe(bobs.connection);
});

test("all users together have a limit", async () => {
  for (let count = 0; count < 256; count++) await tunnels.acquire(to(`user ${count % 8}`));
  await expect(tunnels.acquire(to("another"))).rejects.toMatchObject({ code: "busy" });
  await expect(tunnels.acquire(to(undefined))).rejects.toMatchObject({ code: "busy" });
});
