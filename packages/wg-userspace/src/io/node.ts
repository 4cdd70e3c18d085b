/** Public entry of the engine on Node, `wg-userspace/node`: sockets, timers and node:crypto around it. */

export { nodeCryptoSuite, nodeRandom } from "./crypto-suite.ts";
export { Driver, type DriverEvents, type DriverOptions, type NetworkChange } from "./driver.ts";
export { bindStunSocket, type NetcheckOptions, runNetcheck, type StunSocket } from "./netcheck.ts";
export { directRelayDialer, type RelayDialer, type RelayTarget } from "./relay-dialer.ts";
export type { TcpStream } from "./tcp-stream.ts";
export { bindTunnelUdp, type TunnelUdpHandler, type TunnelUdpSocket } from "./udp-tunnel-socket.ts";
