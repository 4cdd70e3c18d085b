/** Regions that carry terminals, and tokens for those at workspace proxies. */
import type { RegionsResponse } from "coder-protocol/rest/deployment";
import type { PtySignedTokenResponse } from "coder-protocol/rest/proxy-apps";
import { call } from "./client.ts";

export type Region = RegionsResponse["regions"][number];

/** The primary first. */
export const listRegions = async (signal: AbortSignal) =>
  (await call<RegionsResponse>("GET", "/regions", { signal })).regions;

/** A token with which a terminal is opened at `url`, within a minute. */
export const terminalToken = async (url: string, agentID: string, signal: AbortSignal) =>
  (
    await call<PtySignedTokenResponse>("POST", "/applications/reconnecting-pty-signed-token", {
      body: { url, agentID },
      signal,
    })
  ).signed_token;
