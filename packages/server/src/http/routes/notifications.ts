import type { InboxResponse } from "coder-protocol/rest/notifications";
import type { Guard, Router } from "../hono.ts";

/** This server sends no notifications; it serves an empty inbox, because editors read one at login. */
export function notificationRoutes(router: Router, { user }: { readonly user: Guard }): void {
  router.get("/notifications/settings", user, (c) => c.json({ notifier_paused: false }));
  router.get("/notifications/templates/system", user, (c) => c.json([]));
  router.get("/notifications/templates/custom", user, (c) => c.json([]));
  router.get("/notifications/dispatch-methods", user, (c) => c.json({ available: ["inbox"], default: "inbox" }));
  router.get("/users/:user/notifications/preferences", user, (c) => c.json([]));
  router.put("/notifications/inbox/mark-all-as-read", user, (c) => c.body(null, 204));
  router.get("/notifications/inbox", user, (c) => {
    const body: InboxResponse = { notifications: [], unread_count: 0 };
    return c.json(body);
  });
}
