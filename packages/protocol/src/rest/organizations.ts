import { z } from "zod";
import { timestamp, uuid } from "./common.ts";

export const organization = z.object({
  id: uuid,
  name: z.string(),
  display_name: z.string(),
  icon: z.string(),
  description: z.string(),
  created_at: timestamp,
  updated_at: timestamp,
  is_default: z.boolean(),
});
export type Organization = z.infer<typeof organization>;

export const organizations = z.array(organization);

export const organizationMember = z.object({
  user_id: uuid,
  organization_id: uuid,
  created_at: timestamp,
  updated_at: timestamp,
  roles: z.array(z.unknown()),
  username: z.string(),
  name: z.string().optional(),
  avatar_url: z.string().optional(),
  email: z.string(),
});
