import type { HttpBindings } from "@hono/node-server";
import type { Hono, MiddlewareHandler } from "hono";
import type { AuthenticatedUser } from "../auth/authenticator.ts";

export interface HttpEnv {
  Bindings: HttpBindings;
  /** `auth` is set after a {@link Guard}. */
  Variables: { auth: AuthenticatedUser };
}

export type Router = Hono<HttpEnv>;

/** Admits a request or throws; see requireUser and requireOwner. */
export type Guard = MiddlewareHandler<HttpEnv>;
