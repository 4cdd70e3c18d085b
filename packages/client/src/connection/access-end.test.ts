import { describe, expect, it } from "vitest";
import { ClientError } from "../base/client-error.ts";
import { accessEnd } from "./access-end.ts";

const refusal = (status: number) => new ClientError("ERR_UNAUTHORIZED", "no", { status });
const silent = ({ signal }: { readonly signal: AbortSignal }): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

describe("a connection that the deployment refuses to coordinate", () => {
  it("continues while the agent answers, even if the first ping was lost", async () => {
    expect(await accessEnd(refusal(401), async () => 1)).toBeUndefined();
    let asked = 0;
    expect(
      await accessEnd(refusal(401), async () => (asked++ === 0 ? Promise.reject(new Error("lost")) : 1)),
    ).toBeUndefined();
    expect(asked).toBe(2);
  });

  it.each([
    [401, "does not accept this login any more"],
    [403, "may not use this workspace any more"],
    [404, "does not exist any more"],
  ])("is over when the agent is silent: %d", async (status, words) => {
    expect(await accessEnd(refusal(status), silent)).toMatchObject({
      code: "ERR_ACCESS_ENDED",
      status,
      detail: expect.stringContaining(words),
    });
  });
});
