import { createHmac } from "node:crypto";

/**
 * The relay's private key. Servers of one cluster share their key file, and members of a mesh are known by their keys: each
 * process derives its own.
 */
export function relayKeyOf(shared: Uint8Array, replicaId: string): Uint8Array {
  return createHmac("sha256", shared).update(`relay\0${replicaId}`).digest();
}

/** The secret by which the relays of one deployment know each other. */
export function meshKeyOf(shared: Uint8Array, deploymentId: string): string {
  return createHmac("sha256", shared).update(`mesh\0${deploymentId}`).digest("hex");
}
