import type { ConnectionLogResponse } from "coder-protocol/rest/profile";
import type { Tables } from "../../db/store.ts";
import { HttpFailure } from "../failure.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, Router } from "../hono.ts";
import { readPage } from "../reply.ts";
import { connectionLogView } from "../views/connections.ts";
import { parseConnectionQuery } from "./connection-query.ts";

const PER_PAGE = 50;
const MAX_PER_PAGE = 500;
const MAX_OFFSET = 100_000;

/** GET /deployment/connections: what agents reported about connections to them, newest first. */
export function connectionRoutes(
  router: Router,
  { user, tables }: { readonly user: Guard; readonly tables: Pick<Tables, "connectionReports"> },
): void {
  router.get("/deployment/connections", user, requireOwner, async (c) => {
    const { limit, offset } = readPage(c, PER_PAGE);
    const query = parseConnectionQuery(c.req.query("q") ?? "");
    if ("problem" in query) throw new HttpFailure(400, `The filter ${query.problem}`);
    if (offset > MAX_OFFSET)
      throw new HttpFailure(400, `The log is listed up to entry ${MAX_OFFSET}; narrow it with a filter`);
    const count = Math.min(limit, MAX_PER_PAGE);
    const rows = await tables.connectionReports.search(query, { limit: count + 1, offset });
    const body: ConnectionLogResponse = {
      connections: rows.slice(0, count).map(connectionLogView),
      next: rows.length > count ? String(offset + count) : undefined,
    };
    return c.json(body);
  });
}
