import type { TcpInfo, TcpState } from "./contract.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";

/** @param sendLimit Bytes that the send buffer may hold now. */
export function tcpInfo(state: TcpState, sender: Sender, receiver: Receiver, sendLimit: number): TcpInfo {
  const { rtt, board, controller, buffer } = sender;
  const { reassembly } = receiver;
  return {
    state,
    congestion: controller.name,
    srttMs: rtt.srttMs,
    rttvarMs: rtt.rttvarMs,
    minRttMs: rtt.minRttMs,
    rtoMs: rtt.rtoMs,
    cwnd: Math.floor(sender.cwnd),
    ssthresh: controller.ssthresh,
    bytesInFlight: board.inFlight,
    peerWindow: sender.window,
    mss: sender.mss,
    recovery: sender.mode,
    retransmits: sender.retransmits,
    spuriousRecoveries: sender.spuriousRecoveries,
    reorderWindowMs: sender.reorderWindowMs,
    bytesSent: Math.max(0, Math.min(sender.next, buffer.end) - 1),
    bytesReceived: reassembly.next - 1,
    sendBuffer: { limit: sendLimit, used: buffer.length, memory: buffer.capacityBytes },
    receiveBuffer: {
      limit: receiver.bufferBytes,
      used: reassembly.readableLength,
      memory: reassembly.capacityBytes,
    },
  };
}
