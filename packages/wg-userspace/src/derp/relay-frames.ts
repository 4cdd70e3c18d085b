import { FrameType, KEY_BYTES, MAX_FRAME_BYTES, MAX_PACKET_BYTES } from "./frame.ts";
import type { RelayCloseReason } from "./relay-types.ts";

export const PING_MIN_BYTES = 8;
const PING_MAX_BYTES = 1000;

/**
 * Decides what a relay does with a frame of a client that proved its key, by the frame's header alone: read it, skip it, or
 * close.
 */
export function judgeFrame(type: number, length: number, isMeshMember: boolean): "take" | "skip" | RelayCloseReason {
  switch (type) {
    case FrameType.sendPacket:
      return judgePacket(length, KEY_BYTES);
    case FrameType.forwardPacket:
      return isMeshMember ? judgePacket(length, 2 * KEY_BYTES) : "not-a-mesh-member";
    case FrameType.watchConns:
      return isMeshMember ? takeIf(length === 0) : "not-a-mesh-member";
    case FrameType.closePeer:
      return isMeshMember ? takeIf(length === KEY_BYTES) : "not-a-mesh-member";
    case FrameType.notePreferred:
      return takeIf(length === 1);
    case FrameType.ping:
      return takeIf(length >= PING_MIN_BYTES && length <= PING_MAX_BYTES);
    default:
      return length > MAX_FRAME_BYTES ? "frame-too-long" : "skip";
  }
}

/** @param keysBytes Keys before the packet. */
function judgePacket(length: number, keysBytes: number): "take" | RelayCloseReason {
  if (length < keysBytes) return "malformed-frame";
  return length > keysBytes + MAX_PACKET_BYTES ? "frame-too-long" : "take";
}

function takeIf(isWellFormed: boolean): "take" | RelayCloseReason {
  return isWellFormed ? "take" : "malformed-frame";
}
