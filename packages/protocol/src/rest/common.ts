import { z } from "zod";

/** Bodies of the REST surface under /api/v2. UUIDs are lower-case text, times RFC 3339, numeric durations nanoseconds. */

/** Any 128-bit id in its text form; the version digits are not checked, because peers use several. */
export const uuid = z.guid();
export const timestamp = z.iso.datetime({ offset: true });

/** Go's zero time: what peers send where there is no time but the field is not optional. */
export const ZERO_TIME = "0001-01-01T00:00:00Z";

export const NIL_UUID = "00000000-0000-0000-0000-000000000000";

/** Names of users, workspaces and tokens: letters and digits, single hyphens between them. */
export const NAME_PATTERN = /^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/;
export const MAX_NAME_LENGTH = 32;

export const nameText = z
  .string()
  .min(1, "must not be empty")
  .max(MAX_NAME_LENGTH, `must have at most ${MAX_NAME_LENGTH} characters`)
  .regex(NAME_PATTERN, "must consist of letters, digits and single hyphens between them");

export const validationError = z.object({ field: z.string(), detail: z.string() });

/** Body of every answer outside 2xx. */
export const errorBody = z.object({
  message: z.string(),
  detail: z.string().optional(),
  validations: z.array(validationError).optional(),
});
export type ErrorBody = z.infer<typeof errorBody>;

/** Body of an answer that only reports success. */
export const messageBody = z.object({ message: z.string() });
export type MessageBody = z.infer<typeof messageBody>;

/** Header on every API answer; the CLI refuses a server without it. */
export const BUILD_VERSION_HEADER = "X-Coder-Build-Version";

/** Header that carries a user's or an agent's token. */
export const SESSION_TOKEN_HEADER = "Coder-Session-Token";
/** Cookie, and query parameter of WebSocket routes, that carries the same token. */
export const SESSION_TOKEN_COOKIE = "coder_session_token";
/** The cookie of a browser's login on https. A browser takes a `__Host-` cookie from its own host alone (RFC 6265bis §4.1.3.2). */
export const SECURE_SESSION_COOKIE = "__Host-coder_session";
/** Header that proves that a state-changing cookie request comes from our own page. */
export const CSRF_HEADER = "X-CSRF-TOKEN";
/** Cookie, readable by our own page, with the value that {@link CSRF_HEADER} must repeat. */
export const CSRF_COOKIE = "csrf_token";
/** {@link CSRF_COOKIE} on https. */
export const SECURE_CSRF_COOKIE = "__Host-csrf_token";

/** `<10 alphanumerics>-<22 alphanumerics>`: id and secret of a user's token. */
export const SESSION_TOKEN_PATTERN = /^[a-zA-Z0-9]{10}-[a-zA-Z0-9]{22}$/;
