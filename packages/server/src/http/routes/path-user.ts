import { isUuid } from "coder-protocol/addresses";
import type { Context } from "hono";
import { notFound } from "../../base/domain-error.ts";
import type { UserRow } from "../../db/schema.ts";
import type { Users } from "../../db/users.ts";
import type { HttpEnv } from "../hono.ts";

/** The user named by `:user`: `me`, a user name or an id. A member finds only their own account. */
export async function pathUser(c: Context<HttpEnv>, users: Users): Promise<UserRow> {
  const { user } = c.get("auth");
  const name = c.req.param("user") ?? "";
  if (name === "me") return user;
  const found = isUuid(name) ? await users.byId(name.toLowerCase()) : await users.byUsername(name);
  if (found === undefined || (user.role !== "owner" && found.id !== user.id)) throw notFound();
  return found;
}
