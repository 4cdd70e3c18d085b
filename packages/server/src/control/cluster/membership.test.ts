import { describe, expect, it } from "vitest";
import type { Replica } from "./cluster-database.ts";
import { requireRelayAddress } from "./membership.ts";

const replica = (id: string): Replica => ({
  id,
  hostname: `host-${id}`,
  relayAddress: "",
  regionId: 999,
  version: "v0",
  startedAt: 0,
  error: "",
  databaseLatencyUs: 0,
});

/** A link whose replicas are these, one answer after the other; the last one stays. */
function linkOf(...answers: (readonly string[])[]) {
  return {
    get replicas(): readonly Replica[] {
      return (answers.length > 1 ? answers.shift()! : answers[0]!).map(replica);
    },
  };
}

const wait = { everyMs: 0, tries: 5 };

describe("a server without an address for siblings", () => {
  it("starts when it is the only one", async () => {
    await requireRelayAddress(linkOf(["me"]), wait);
  });

  it("starts when the other one turns out to be dead", async () => {
    await requireRelayAddress(linkOf(["me", "dead"], ["me", "dead"], ["me"]), wait);
  });

  it("does not start beside one that lives", async () => {
    await expect(requireRelayAddress(linkOf(["me", "other"]), wait)).rejects.toMatchObject({
      code: "ERR_CONFIG",
      message: expect.stringContaining("a relay address must be set when several servers run"),
    });
  });

  it("waits no longer once the start is given up", async () => {
    const signal = AbortSignal.abort();
    await requireRelayAddress(linkOf(["me", "other"]), { everyMs: 3_600_000, tries: 5, signal });
  });
});
