/** The control plane: REST, store, logins, coordinator, relay, STUN. */

export { backUp } from "./backup/back-up.ts";
export type { BackupManifest } from "./backup/manifest.ts";
export { type MoveOptions, migrateStore, parseStoreEnd, storeEndText } from "./backup/migrate-store.ts";
export { resetPassword } from "./backup/reset-password.ts";
export { type Restored, restore } from "./backup/restore.ts";
export { presentServerError, ServerError, type ServerErrorCode } from "./base/errors.ts";
export { createLogger } from "./base/log.ts";
export {
  configFromEnv,
  type ServerFlag,
  type ServerFlagType,
  type ServerFlagValues,
  serverFlags,
} from "./config/flags.ts";
export { type ConfigSurroundings, parseServerConfig, type ServerConfig } from "./config/parse.ts";
export { type StorePlace, storePlaceOf } from "./db/open-backend.ts";
export type { ProgramSources } from "./downloads/catalogue.ts";
export { platformOfNode } from "./downloads/names.ts";
export type { DashboardFiles } from "./http/dashboard/build-output.ts";
export { type RunServerOptions, runServer } from "./main.ts";
export { type CoderServer, createServer, type ServerDeps } from "./server.ts";
export { writeNewKeys } from "./state/key-file.ts";
