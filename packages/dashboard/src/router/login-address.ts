/** The login page, which leads back to where the user was. */
export function loginAddress(here: { readonly pathname: string; readonly search: string }): string {
  const path = `${here.pathname}${here.search}`;
  return path === "/" || path === "/workspaces" ? "/login" : `/login?redirect=${encodeURIComponent(path)}`;
}
