/** Public entry of the library on Node; `browser/index.ts` is the one of web pages. */

export { NameError } from "coder-protocol/names";
export { EngineError, type ErrorCode } from "wg-userspace/base/errors";
export type { Logger, LogLevel } from "wg-userspace/base/ports";
export type { TcpStream } from "wg-userspace/io/tcp-stream";
export { ClientError, type ClientErrorCode } from "./client-error.ts";
export { type ConnectOptions, connectWorkspace } from "./connect.ts";
export type { DirectSample, DiscoPong, PathRef, PeerPathReport, RegionRef } from "./path-report.ts";
export type { TailnetNodeEvent } from "./tailnet-node.ts";
export type {
  ConnectStage,
  WorkspaceConnection,
  WorkspaceUdp,
  WorkspaceUdpHandler,
} from "./workspace-connection.ts";
