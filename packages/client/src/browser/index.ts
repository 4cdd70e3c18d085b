/** Public entry of the library for web pages. */

export { NameError } from "coder-protocol/names";
export { EngineError, type ErrorCode } from "wg-userspace/base/errors";
export { ClientError, type ClientErrorCode } from "../base/client-error.ts";
export type { ScriptWait } from "../connection/agent-wait.ts";
export type { AgentWait, ConnectStage, TunnelWait } from "../connection/attempt.ts";
export type { DuplexStream } from "../connection/tunnel-fetch.ts";
export type { AgentRef, WorkspaceRef } from "../rest/workspaces.ts";
export type { BrowserAuth } from "./deployment.ts";
export type { BrowserNodeEvent } from "./node.ts";
export {
  type AgentConnectOptions,
  type BrowserConnectOptions,
  type BrowserWorkspace,
  connectAgent,
  connectWorkspace,
  type TunnelEnds,
} from "./workspace.ts";
