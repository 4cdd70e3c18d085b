/**
 * The keys with which the deployment signs the app tokens of a workspace proxy. They are not stored but derived from the
 * deployment's own key, the proxy and the generation of its token; they expire with that token.
 */
import { createHmac } from "node:crypto";
import type { CryptoKey, CryptoKeyFeature } from "coder-protocol/rest/proxy-apps";
import type { AppTokenKey } from "../base/app-token.ts";
import { formatTime } from "../base/clock.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";

const ROTATION_MS = 86_400_000;
/** Tokens signed just before a key ends are valid for another minute, and clocks differ, so keys overlap. */
const OVERLAP_MS = 3_600_000;

const PURPOSES: Readonly<Record<CryptoKeyFeature, string>> = {
  workspace_apps_token: "proxy app token",
  workspace_apps_api_key: "proxy app key",
};

export type KeyedProxy = Pick<WorkspaceProxyRow, "id" | "token_generation">;

export class ProxyKeys {
  readonly #shared: Uint8Array;

  /** @param shared The deployment's signing key, which all its servers share. */
  constructor(shared: Uint8Array) {
    this.#shared = shared;
  }

  /** The keys that are valid now and the next one, so that the proxy knows that key before it signs. */
  list(proxy: KeyedProxy, feature: CryptoKeyFeature, now: number): CryptoKey[] {
    const current = Math.floor(now / ROTATION_MS);
    return [current - 1, current, current + 1]
      .filter((sequence) => now < deletesAt(sequence))
      .map((sequence) => ({
        feature,
        secret: this.#secret(proxy, feature, sequence),
        sequence,
        starts_at: formatTime(sequence * ROTATION_MS),
        deletes_at: formatTime(deletesAt(sequence)),
      }));
  }

  /** The key that signs app tokens now. */
  signing(proxy: KeyedProxy, now: number): AppTokenKey {
    const sequence = Math.floor(now / ROTATION_MS);
    const secret = this.#secret(proxy, "workspace_apps_token", sequence);
    return { secret, sequence, deletesAt: deletesAt(sequence) };
  }

  #secret({ id, token_generation }: KeyedProxy, feature: CryptoKeyFeature, sequence: number): string {
    return createHmac("sha256", this.#shared)
      .update(`${PURPOSES[feature]}\0${id}\0${token_generation}\0${sequence}`)
      .digest("hex");
  }
}

function deletesAt(sequence: number): number {
  return (sequence + 1) * ROTATION_MS + OVERLAP_MS;
}
