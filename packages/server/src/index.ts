/** The control plane: REST, store, logins. The coordinator and the relay join it through ServerDeps. */

export {
  type AccessEvent,
  AccessEvents,
  type AccessHolder,
  endsAccess,
  endsAgentSession,
} from "./auth/access-events.ts";
export {
  type AuthenticatedAgent,
  type AuthenticatedUser,
  type AuthenticateOptions,
  Authenticator,
  holderOf,
} from "./auth/authenticator.ts";
export { backUp } from "./backup/back-up.ts";
export type { BackupManifest } from "./backup/manifest.ts";
export { resetPassword } from "./backup/reset-password.ts";
export { type Restored, restore } from "./backup/restore.ts";
export { HttpFailure, presentServerError, ServerError, type ServerErrorCode } from "./base/errors.ts";
export { createLogger, type Logger } from "./base/log.ts";
export { AGENT_API_VERSION, BUILD_VERSION } from "./base/version.ts";
export { standardParts } from "./compose.ts";
export {
  configFromEnv,
  type ServerFlag,
  type ServerFlagType,
  type ServerFlagValues,
  serverFlags,
} from "./config/flags.ts";
export { type ConfigSurroundings, parseServerConfig, type ServerConfig } from "./config/parse.ts";
export type { AgentRow, UserRow, WorkspaceRow } from "./db/schema.ts";
export type { ProgramSources } from "./downloads/catalogue.ts";
export { platformOfNode } from "./downloads/names.ts";
export type {
  ControlPlane,
  EmbeddedRelay,
  RequestRoute,
  ServerContext,
  UpgradeRoute,
} from "./http/context.ts";
export { rejectUpgrade } from "./http/reply.ts";
export { type RunServerOptions, runServer } from "./main.ts";
export { type CoderServer, createServer, type ServerDeps } from "./server.ts";
export { AGENT_INACTIVE_AFTER_MS, type AgentLogLine, AgentState, agentStatus } from "./workspaces/agent-state.ts";
