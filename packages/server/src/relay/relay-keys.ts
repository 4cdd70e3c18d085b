import { createHmac } from "node:crypto";

/**
 * The relay's private key. Servers of one cluster share their key file, but members of a mesh are identified by their keys, so
 * each process derives its own.
 */
export function relayKeyOf(shared: Uint8Array, replicaId: string): Uint8Array {
  return createHmac("sha256", shared).update(`relay\0${replicaId}`).digest();
}

/** The secret by which the relays of one deployment recognize each other. */
export function meshKeyOf(shared: Uint8Array, deploymentId: string): string {
  return createHmac("sha256", shared).update(`mesh\0${deploymentId}`).digest("hex");
}

/** The secret by which the processes of one workspace proxy recognize each other. It changes with the proxy's token. */
export function proxyMeshKeyOf(shared: Uint8Array, proxyId: string, tokenGeneration: number): string {
  return createHmac("sha256", shared).update(`proxy mesh\0${proxyId}\0${tokenGeneration}`).digest("hex");
}
