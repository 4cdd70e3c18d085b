import { z } from "zod";
import { timestamp, uuid } from "./common.ts";
import { fullName, newUsername } from "./users.ts";

const MAX_TERMINAL_SETTINGS = 32;
const word = z.string().regex(/^[a-z0-9-]{0,32}$/, "must consist of at most 32 small letters, digits and hyphens");

/** GET and PUT /users/{user}/appearance. An empty text means that nothing was chosen. `terminal` is our addition. */
export const userAppearance = z.object({
  theme_preference: word,
  terminal_font: word,
  /** Settings of the web terminal by name; the page knows them, the server keeps them. */
  terminal: z
    .record(z.string().regex(/^[a-z_]{1,32}$/), z.union([z.string().max(64), z.number(), z.boolean()]))
    .refine((settings) => Object.keys(settings).length <= MAX_TERMINAL_SETTINGS, "holds too many settings")
    .default({}),
});
export type UserAppearance = z.infer<typeof userAppearance>;

/** PUT /users/{user}/profile. */
export const updateProfileRequest = z.object({ username: newUsername, name: fullName.default("") });
export type UpdateProfileRequest = z.input<typeof updateProfileRequest>;

/** An entry of GET /deployment/connections: what an agent reported of one connection. */
export const connectionLogEntry = z.object({
  workspace_id: uuid,
  workspace_name: z.string(),
  workspace_owner_username: z.string(),
  agent_name: z.string(),
  connection_id: z.string(),
  action: z.enum(["connect", "disconnect"]),
  /** ssh, reconnecting_pty, vscode, jetbrains; an agent may name others. */
  type: z.string(),
  ip: z.string(),
  status_code: z.number().int(),
  reason: z.string(),
  time: timestamp,
});
export type ConnectionLogEntry = z.infer<typeof connectionLogEntry>;

/** `next` continues the listing; absent at its end. */
export const connectionLogResponse = z.object({
  connections: z.array(connectionLogEntry),
  next: z.string().optional(),
});
export type ConnectionLogResponse = z.infer<typeof connectionLogResponse>;
