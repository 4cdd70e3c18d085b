/**
 * Whom an external relay may serve: it asks here about every client. Bodies are those of derper's `--verify-client-url`
 * (tailcfg.DERPAdmitClientRequest and DERPAdmitClientResponse).
 */
import { createHmac } from "node:crypto";
import type { RelayAdmission } from "coder-protocol/rest/deployment";
import { hexDecode } from "wg-userspace/base/bytes";
import { z } from "zod";
import { equalDigests, hashSecret } from "../../auth/tokens.ts";
import { HttpFailure } from "../../base/errors.ts";
import type { RouteContext, Router } from "../context.ts";
import { readJson, requireOwner, requireUser } from "../reply.ts";

export const ADMISSION_PATH = "/derp/admit";
const USER = "relay";
const MAX_BODY_BYTES = 4 * 1024;
/** A relay gives up after 10 s. The coordinator hears of a key a moment before or after the relay does. */
const WAIT_MS = 3_000;

const admitRequest = z.object({
  NodePublic: z.string().regex(/^nodekey:[0-9a-f]{64}$/, "must be a node key"),
  Source: z.string().max(64).optional(),
});

export function relayAdmissionRoutes(root: Router, api: Router, context: RouteContext): void {
  // Its own secret, since it says nothing but whether a key is known, and is kept where the relay runs.
  const secret = createHmac("sha256", context.keys.signing).update("relay admission").digest("hex").slice(0, 32);
  const expected = hashSecret(`Basic ${Buffer.from(`${USER}:${secret}`).toString("base64")}`);

  api.get("/deployment/relay-admission", requireUser(context), requireOwner, (c) => {
    const url = new URL(ADMISSION_PATH, context.accessUrl());
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
    const allow =
      context.probeKeys.admits(publicKey) || ((await context.controlPlane()?.admitsKey?.(publicKey, WAIT_MS)) ?? false);
    return c.json({ Allow: allow });
  });
}
