/**
 * Which clients an external relay may serve; the relay asks here about each of them. Bodies are those of derper's
 * `--verify-client-url` (tailcfg.DERPAdmitClientRequest and DERPAdmitClientResponse).
 */
import { createHmac } from "node:crypto";
import type { RelayAdmission } from "coder-protocol/rest/deployment";
import { hexDecode } from "wg-userspace/base/bytes";
import { z } from "zod";
import { equalDigests, hashSecret } from "../../auth/tokens.ts";
import type { OwnAddresses } from "../../base/own-addresses.ts";
import type { ProbeKeys } from "../../relay/probe-keys.ts";
import { HttpFailure } from "../failure.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, Router } from "../hono.ts";
import { readJson } from "../reply.ts";

export const ADMISSION_PATH = "/derp/admit";
const USER = "relay";
const MAX_BODY_BYTES = 4 * 1024;
/** A relay gives up after 10 s. A key may reach the coordinator shortly after the relay asks for it. */
const WAIT_MS = 3_000;

const admitRequest = z.object({
  NodePublic: z.string().regex(/^nodekey:[0-9a-f]{64}$/, "must be a node key"),
  Source: z.string().max(64).optional(),
});

export interface RelayAdmissionDeps {
  readonly user: Guard;
  readonly signingKey: Uint8Array;
  readonly addresses: Pick<OwnAddresses, "accessUrl">;
  readonly probeKeys: ProbeKeys;
  /** Whether a peer has this key, or announces it within `waitMs`. */
  readonly admitsKey: (publicKey: Uint8Array, waitMs: number) => Promise<boolean>;
}

export function relayAdmissionRoutes(root: Router, api: Router, deps: RelayAdmissionDeps): void {
  // A separate secret: it reveals only whether a key is known, and is kept where the relay runs.
  const secret = createHmac("sha256", deps.signingKey).update("relay admission").digest("hex").slice(0, 32);
  const expected = hashSecret(`Basic ${Buffer.from(`${USER}:${secret}`).toString("base64")}`);

  api.get("/deployment/relay-admission", deps.user, requireOwner, (c) => {
    const url = new URL(ADMISSION_PATH, deps.addresses.accessUrl());
    url.username = USER;
    url.password = secret;
    const body: RelayAdmission = { url: url.href };
    return c.json(body);
  });

  root.post(ADMISSION_PATH, async (c) => {
    if (!equalDigests(hashSecret(c.req.header("authorization") ?? ""), expected)) {
      throw new HttpFailure(401, "The relay is not known here", { headers: { "WWW-Authenticate": "Basic" } });
    }
    const { NodePublic: key } = await readJson(c, admitRequest, MAX_BODY_BYTES);
    const publicKey = hexDecode(key.slice("nodekey:".length));
    const allow = deps.probeKeys.admits(publicKey) || (await deps.admitsKey(publicKey, WAIT_MS));
    return c.json({ Allow: allow });
  });
}
