import { z } from "zod";
import { timestamp, uuid } from "./common.ts";

/** Who besides the owner may use an app, from the narrowest to the widest. */
export const shareLevel = z.enum(["owner", "organization", "authenticated", "public"]);
export type ShareLevel = z.infer<typeof shareLevel>;

/** Answer to GET /applications/host. */
export const applicationsHost = z.object({
  /** The wildcard access URL with its port, such as `*.apps.example.com`; empty when there is none. */
  host: z.string(),
});
export type ApplicationsHost = z.infer<typeof applicationsHost>;

const MAX_ORIGINS = 16;
const MAX_ALSO = 8;

/** What an owner chooses for a program besides who may use it. */
export const appChoices = {
  /** `passthru`: the program answers pages of other origins, and their preflights, itself. */
  cors: z.enum(["simple", "passthru"]),
  /** With `passthru`: origins whose pages may use the visitor's session, such as `https://tools.example.com`. */
  cors_origins: z
    .array(
      z
        .string()
        .max(256)
        .regex(/^https?:\/\/[a-z0-9.-]+(?::[0-9]{1,5})?$/, "must be an origin, such as https://tools.example.com"),
    )
    .max(MAX_ORIGINS),
  /** Other apps or ports of the agent that a sign-in opens as well, such as `api` or `8081`. */
  also: z
    .array(
      z
        .string()
        .max(32)
        .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, "must be the slug of an app or a port"),
    )
    .max(MAX_ALSO),
  /** Sends the visitor's name, id and e-mail address to the program. */
  identity_headers: z.boolean(),
};

export const portShare = z.object({
  workspace_id: uuid,
  agent_name: z.string(),
  port: z.number(),
  share_level: shareLevel,
  /** Our addition. The level that counts: narrower than `share_level` if an administrator has since lowered the widest level. */
  effective_level: shareLevel,
  protocol: z.enum(["http", "https"]),
  label: z.string(),
  expires_at: timestamp.nullable(),
  host_header: z.enum(["preserve", "localhost"]),
  ...appChoices,
  created_at: timestamp,
});
export type PortShare = z.infer<typeof portShare>;

/** Answer to GET /workspaces/{id}/port-share. */
export const portSharesResponse = z.object({
  shares: z.array(portShare),
  /** Our addition. The widest level that an administrator allows. */
  max_share_level: shareLevel,
});
export type PortSharesResponse = z.infer<typeof portSharesResponse>;

const port = z.number().int().min(9).max(65_535);

/**
 * Body of POST /workspaces/{id}/port-share. The level `owner` removes the share. For a port that is shared already, fields from
 * `label` on that are left out stay as they are.
 */
export const upsertPortShareRequest = z.object({
  agent_name: z.string().max(32),
  port,
  share_level: shareLevel,
  protocol: z.enum(["http", "https"]).default("http"),
  label: z.string().max(64).optional(),
  expires_at: z.iso.datetime({ offset: true }).nullable().optional(),
  host_header: z.enum(["preserve", "localhost"]).optional(),
  cors: appChoices.cors.optional(),
  cors_origins: appChoices.cors_origins.optional(),
  also: appChoices.also.optional(),
  identity_headers: appChoices.identity_headers.optional(),
});
export type UpsertPortShareRequest = z.input<typeof upsertPortShareRequest>;

/** Body of DELETE /workspaces/{id}/port-share. */
export const deletePortShareRequest = z.object({ agent_name: z.string().max(32), port });
export type DeletePortShareRequest = z.infer<typeof deletePortShareRequest>;
