/** Public entry of the engine on Node, `wg-userspace/node`: sockets, timers and node:crypto around it. */

export type { RelayTarget } from "../derp/relay-candidates.ts";
export { Driver, type DriverEvents, type DriverOptions, type NetworkChange } from "./driver.ts";
export { nodeCryptoSuite, nodeRandom } from "./host/crypto-suite.ts";
export { bindStunSocket, type NetcheckOptions, runNetcheck, type StunSocket } from "./probe/netcheck.ts";
export { directRelayDialer, type RelayDialer } from "./relay/relay-dialer.ts";
export type { TcpStream } from "./sockets/tcp-stream.ts";
export {
  acceptTunnelTcp,
  connectTunnelTcp,
  listenTunnelTcp,
  pingTunnel,
  rejectTunnelTcp,
  setTunnelTcpFallback,
  type TunnelTcpDriver,
} from "./sockets/tcp-tunnel.ts";
export { bindTunnelUdp, type TunnelUdpHandler, type TunnelUdpSocket } from "./sockets/udp-tunnel-socket.ts";
