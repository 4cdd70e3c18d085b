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

/** The secret by which the processes of one workspace proxy know each other. It ends with the proxy's token. */
export function proxyMeshKeyOf(shared: Uint8Array, proxyId: string, tokenGeneration: number): string {
  return createHmac("sha256", shared).update(`proxy mesh\0${proxyId}\0${tokenGeneration}`).digest("hex");
}
