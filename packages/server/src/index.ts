/** The control plane: REST, store, logins. The coordinator and the relay join it through ServerDeps. */

export { AGENT_INACTIVE_AFTER_MS, type AgentLogLine, AgentState, agentStatus } from "./agent-state.ts";
export { type CoderServer, createServer, type ServerDeps } from "./app.ts";
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
export { type Restored, restore } from "./backup/restore.ts";
export { standardParts } from "./compose.ts";
export { configFromEnv, type ServerFlag, type ServerFlagType, type ServerFlagValues, serverFlags } from "./config.ts";
export { type ConfigSurroundings, parseServerConfig, type ServerConfig } from "./config-parse.ts";
export type { AgentRow, UserRow, WorkspaceRow } from "./db/schema.ts";
export type { ProgramSources } from "./downloads/catalogue.ts";
export { platformOfNode } from "./downloads/names.ts";
export { HttpFailure, presentServerError, ServerError, type ServerErrorCode } from "./errors.ts";
export type {
  ControlPlane,
  EmbeddedRelay,
  RequestRoute,
  ServerContext,
  UpgradeRoute,
} from "./http/context.ts";
export { rejectUpgrade } from "./http/reply.ts";
export { createLogger, type Logger } from "./log.ts";
export { type RunServerOptions, runServer } from "./main.ts";
export { resetPassword } from "./reset-password.ts";
export { AGENT_API_VERSION, BUILD_VERSION } from "./version.ts";
