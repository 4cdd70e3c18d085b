/** What the coordinator demands of a peer's request. A request that fails ends its sender's stream. */
import { create } from "@bufbuild/protobuf";
import { uuidFromBytes } from "coder-protocol/addresses";
import { type Node, NodeSchema } from "coder-protocol/gen/tailnet_pb.js";
import { nodeFromProto, nodeToProto } from "coder-protocol/tailnet/node";
import type { PeerAuth } from "./peer-auth.ts";

const MAX_TUNNELS_PER_PEER = 1024;

/** Its message is sent to the peer. */
export class RequestError extends Error {}

export function idOf(bytes: Uint8Array): string {
  const id = uuidFromBytes(bytes);
  if (id === undefined) throw new RequestError(`a peer id has 16 bytes, got ${bytes.length}`);
  return id;
}

/** A peer's own node, built again: unknown fields would otherwise be kept and passed on without a limit. */
export function checkedNode(auth: PeerAuth, node: Node): Node {
  const checked = nodeFromProto(node);
  if ("error" in checked) throw new RequestError(`invalid node: ${checked.error}`);
  requireAllowed(auth.checkNode(checked));
  return create(NodeSchema, nodeToProto(checked));
}

/** @param count The tunnels that the peer has. */
export function checkTunnel(auth: PeerAuth, to: string, count: number): void {
  requireAllowed(auth.checkTunnel(to));
  if (count >= MAX_TUNNELS_PER_PEER) throw new RequestError(`more than ${MAX_TUNNELS_PER_PEER} tunnels`);
}

export function checkReady(auth: PeerAuth): void {
  requireAllowed(auth.checkReady());
}

function requireAllowed(refusal: string | undefined): void {
  if (refusal !== undefined) throw new RequestError(`authorization: ${refusal}`);
}
