/** Public entry of the library on Node; `browser/index.ts` is the one for web pages. */

export { NameError } from "coder-protocol/names";
export { EngineError, type ErrorCode } from "wg-userspace/base/errors";
export type { Logger, LogLevel } from "wg-userspace/base/ports";
export type { TcpStream } from "wg-userspace/io/sockets/tcp-stream";
export { ClientError, type ClientErrorCode } from "./base/client-error.ts";
export type { ScriptWait } from "./connection/agent-wait.ts";
export type { AgentWait, ConnectStage, TunnelWait } from "./connection/attempt.ts";
export { type ConnectOptions, connectWorkspace } from "./connection/connect.ts";
export type {
  WorkspaceConnection,
  WorkspaceUdp,
  WorkspaceUdpHandler,
} from "./connection/workspace-connection.ts";
export type { DirectSample, DiscoPong, PathRef, PeerPathReport, RegionRef } from "./node/path-report.ts";
export type { TailnetNodeEvent } from "./node/tailnet-node.ts";
export type { AgentRef, WorkspaceRef } from "./rest/workspaces.ts";
