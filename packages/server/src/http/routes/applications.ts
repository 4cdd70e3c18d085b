import type { ApplicationsHost } from "coder-protocol/rest/apps";
import type { ProxySignIn } from "../../apps/proxy-sign-in.ts";
import type { SignIn } from "../../apps/sign-in.ts";
import { loginLocation } from "../../apps/sign-in-answers.ts";
import type { Authenticator } from "../../auth/authenticator.ts";
import { DomainError } from "../../base/domain-error.ts";
import type { OwnAddresses } from "../../base/own-addresses.ts";
import { AUTH_REDIRECT_PATH } from "../../base/sign-in-path.ts";
import { type Wildcard, wildcardHost } from "../../base/wildcard.ts";
import { answerResponse } from "../app-answer.ts";
import { HttpFailure } from "../failure.ts";
import type { Guard, Router } from "../hono.ts";

export interface ApplicationRoutesDeps {
  readonly user: Guard;
  readonly authenticator: Authenticator;
  /** Undefined without a wildcard access URL. */
  readonly signIn: SignIn | undefined;
  /** For hosts of workspace proxies. */
  readonly proxySignIn: ProxySignIn;
  readonly wildcard: Wildcard | undefined;
  readonly addresses: Pick<OwnAddresses, "browserUrl">;
}

/** The routes through which clients and browsers ask about web apps. */
export function applicationRoutes(router: Router, deps: ApplicationRoutesDeps): void {
  const { user, authenticator, signIn, proxySignIn, wildcard, addresses } = deps;

  router.get("/applications/host", user, (c) => {
    const body: ApplicationsHost = { host: applicationsHost(wildcard, addresses.browserUrl()) };
    return c.json(body);
  });

  // A navigation, because it is the only way from a login to a session with an app.
  router.get(AUTH_REDIRECT_PATH.replace("/api/v2", ""), async (c) => {
    const { incoming } = c.env;
    if (signIn === undefined && !proxySignIn.isNeeded)
      throw new HttpFailure(404, "This deployment serves no apps", {
        detail: "An administrator can set --wildcard-access-url",
      });
    if (incoming.headers["sec-fetch-dest"] === "iframe")
      throw new HttpFailure(403, "A sign-in is not shown in a frame");
    c.header("Referrer-Policy", "no-referrer");
    // Otherwise a page that opened this window could read the ticket from the URL of an answer in its own origin.
    c.header("Cross-Origin-Opener-Policy", "same-origin");
    const auth = await authenticator.authenticateUser(incoming, { navigation: true });
    if (auth instanceof DomainError) {
      if (auth.code !== "unauthenticated") throw auth;
      return c.redirect(loginLocation(incoming.url ?? "/"), 303);
    }
    const visitor = { userId: auth.user.id, keyId: auth.key.id, role: auth.user.role };
    const query = new URL(c.req.url).searchParams;
    const [redirectUri, state] = [query.get("redirect_uri") ?? "", query.get("state") ?? ""];
    const decided =
      (await proxySignIn.decide(visitor, redirectUri, state)) ?? (await signIn?.decide(visitor, redirectUri, state));
    if (decided === undefined) throw new HttpFailure(400, "Invalid redirect_uri");
    return "location" in decided ? c.redirect(decided.location, 303) : answerResponse(incoming, decided.refused);
  });
}

/** The host names of apps in the form that clients are shown; "" if there are none. */
export function applicationsHost(wildcard: Wildcard | undefined, accessUrl: URL): string {
  return wildcard === undefined ? "" : wildcardHost(wildcard, accessUrl);
}
