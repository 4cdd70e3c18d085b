/**
 * The right that a peer's tunnels depend on, in the form that its partners keep: sealed (AES-256-GCM) and bound to the peer's id,
 * so that they cannot read it. A partner sends it back once the peer is lost, so that a server that never knew the peer can watch
 * its right.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { z } from "zod";

const IV_BYTES = 12;
const TAG_BYTES = 16;

const content = z.union([
  z.tuple([z.literal("user"), z.string(), z.string(), z.string(), z.boolean()]),
  z.tuple([z.literal("server"), z.string()]),
  z.tuple([z.literal("proxy"), z.string(), z.number()]),
]);

export type TunnelRight =
  | {
      readonly kind: "user";
      readonly userId: string;
      readonly keyId: string;
      /** Set for a connection to one agent. */
      readonly agentId: string | undefined;
      /** The server's own connection, for pages of this user. */
      readonly forPages: boolean;
    }
  /** The server itself, for the apps of an agent. */
  | { readonly kind: "server"; readonly agentId: string }
  | { readonly kind: "proxy"; readonly proxyId: string; readonly generation: number };

export class SealedRights {
  readonly #key: Uint8Array;

  /** @param shared The deployment's signing key, which all its servers share. */
  constructor(shared: Uint8Array) {
    this.#key = createHmac("sha256", shared).update("right of a tunnel").digest();
  }

  seal(peerId: string, right: TunnelRight): Uint8Array {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, iv).setAAD(Buffer.from(peerId));
    return Buffer.concat([iv, cipher.update(JSON.stringify(toContent(right))), cipher.final(), cipher.getAuthTag()]);
  }

  /** Undefined if this deployment did not seal it for the peer. */
  open(peerId: string, sealed: Uint8Array): TunnelRight | undefined {
    if (sealed.length <= IV_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", this.#key, sealed.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(peerId)).setAuthTag(sealed.subarray(-TAG_BYTES));
    const opened = decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES));
    try {
      return toRight(content.parse(JSON.parse(Buffer.concat([opened, decipher.final()]).toString("utf8"))));
    } catch {
      return undefined; // not from this deployment, of another peer, or of a later release
    }
  }
}

function toContent(right: TunnelRight): z.infer<typeof content> {
  switch (right.kind) {
    case "user":
      return ["user", right.userId, right.keyId, right.agentId ?? "", right.forPages];
    case "server":
      return ["server", right.agentId];
    case "proxy":
      return ["proxy", right.proxyId, right.generation];
  }
}

function toRight(opened: z.infer<typeof content>): TunnelRight {
  switch (opened[0]) {
    case "user": {
      const [kind, userId, keyId, agentId, forPages] = opened;
      return { kind, userId, keyId, agentId: agentId === "" ? undefined : agentId, forPages };
    }
    case "server":
      return { kind: opened[0], agentId: opened[1] };
    case "proxy":
      return { kind: opened[0], proxyId: opened[1], generation: opened[2] };
  }
}
