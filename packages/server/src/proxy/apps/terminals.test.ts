import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { DomainError } from "../../base/domain-error.ts";
import { OpenStreams } from "../../base/open-streams.ts";
import type { AppTokenVerdict } from "./app-keys.ts";
import { ProxyTerminals, type ProxyTerminalsOptions } from "./terminals.ts";

const PATH = `/api/v2/workspaceagents/99999999-8888-4777-8666-555555555555/pty?coder_signed_app_token=x`;

/** Terminals that check tokens until the test answers. */
function started() {
  const answer = Promise.withResolvers<AppTokenVerdict>();
  const unused = (): never => {
    throw new Error("no terminal opens in these tests");
  };
  const terminals = new ProxyTerminals({
    tokens: { verify: () => answer.promise, issue: unused },
    rights: { add: unused },
    onUse: unused,
    origins: () => new Set(),
    limits: { total: 512 },
    clientAddress: (request) => request.headers["x-address"] as string,
    now: Date.now,
    tunnels: { acquire: unused },
    agentHttp: { capabilities: unused, forgetCapabilities: unused },
    streams: new OpenStreams(),
    log: {} as ProxyTerminalsOptions["log"],
  });
  const { handle } = terminals.route;
  /** The reason why the upgrade was refused. */
  const upgrade = async (address: string): Promise<string> => {
    const request = { url: PATH, headers: { "x-address": address } } as unknown as IncomingMessage;
    try {
      await handle(request, new PassThrough(), Buffer.alloc(0));
      return "accepted";
    } catch (error) {
      if (error instanceof DomainError) return error.code;
      throw error;
    }
  };
  return { upgrade, answer };
}

test("while tokens are being checked, upgrades of one address have 32 places, and all together 256", async () => {
  const { upgrade, answer } = started();
  const held = Array.from({ length: 32 }, () => upgrade("192.0.2.1"));
  expect(await upgrade("192.0.2.1")).toBe("too-many");
  for (let address = 2; address < 9; address++)
    held.push(...Array.from({ length: 32 }, () => upgrade(`192.0.2.${address}`)));
  expect(await upgrade("192.0.2.9")).toBe("busy");
  answer.resolve({ refused: "signature" });
  expect(new Set(await Promise.all(held))).toEqual(new Set(["unauthenticated"]));
  expect(await upgrade("192.0.2.1")).toBe("unauthenticated");
});
