/** Where an app's host sends a browser that has to sign in at the deployment. */
export const AUTH_REDIRECT_PATH = "/api/v2/applications/auth-redirect";
/** Longest request target of a sign-in: it carries the address of an app, in which some characters take three. */
export const MAX_SIGN_IN_TARGET = 56 * 1024;
