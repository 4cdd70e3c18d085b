import { useSignal } from "@preact/signals";
import { Component, type ComponentChildren, type ComponentType, type JSX } from "preact";
import { useEffect } from "preact/hooks";
import { NotFound } from "./pages/not-found.tsx";
import type { PageProps } from "./pages/page-props.ts";
import { IN_ENTRY, PAGES } from "./pages/pages.ts";
import { address, navigate } from "./router/location.ts";
import { loginAddress } from "./router/login-address.ts";
import { type Match, matchRoute, type PageName } from "./router/routes.ts";
import { localPage, ready, user } from "./session/session.ts";
import { Shell } from "./shell/shell.tsx";

/** Pages already loaded, which the next visit shows at once. */
const loaded = new Map<PageName, ComponentType<PageProps>>(IN_ENTRY);

export function App({ loadedVersion }: { readonly loadedVersion: string }): JSX.Element {
  const url = address.value;
  const match = matchRoute(url.pathname);
  const elsewhere = redirection(match, url);
  useEffect(() => {
    if (elsewhere !== undefined) navigate(elsewhere, { replace: true });
  }, [elsewhere]);
  const title = match === undefined ? "Not found" : pageTitle(match);
  useEffect(() => {
    document.title = `${title} · Coder`;
  }, [title]);
  if (elsewhere !== undefined) return <div class="blank" />;
  const page =
    match === undefined ? (
      <NotFound />
    ) : (
      <Page key={url.pathname} name={match.route.page} params={match.params} query={url.searchParams} />
    );
  if (localPage.value !== undefined)
    return (
      <main id="content" class="local" tabIndex={-1}>
        {page}
      </main>
    );
  if (match?.route.open === true || user.value === null) return <div class="plain">{page}</div>;
  return (
    <Shell loadedVersion={loadedVersion} bare={match?.route.page === "terminal"}>
      {page}
    </Shell>
  );
}

/** Where the user has to go first: to create the first user, to log in, or past pages that are done. */
function redirection(match: Match | undefined, url: URL): string | undefined {
  const page = match?.route.page;
  if (!ready.value) return page === "setup" ? undefined : "/setup";
  if (page === "setup") return "/workspaces";
  if (user.value === null) return page === "login" ? undefined : loginAddress(url);
  return url.pathname === "/" ? "/workspaces" : undefined;
}

function pageTitle({ route, params }: Match): string {
  const { workspace, username } = params;
  if (username !== undefined) return username;
  return workspace === undefined ? route.title : `${workspace}${route.page === "workspace" ? "" : ` ${route.title}`}`;
}

type PageState = "loading" | "failed" | ComponentType<PageProps>;

function Page({ name, ...props }: PageProps & { readonly name: PageName }): JSX.Element {
  const page = useSignal<{ is: PageState }>({ is: loaded.get(name) ?? "loading" });
  useEffect(() => {
    if (page.value.is !== "loading") return;
    PAGES[name]().then(
      (component) => {
        loaded.set(name, component);
        page.value = { is: component };
      },
      () => {
        page.value = { is: "failed" };
      },
    );
  }, [name, page]);
  const { is } = page.value;
  if (is === "loading") return <div class="blank" aria-busy="true" />;
  if (is === "failed") return <Stale />;
  const Shown = is;
  return (
    <Guard>
      <Shown {...props} />
    </Guard>
  );
}

/** A page's code is gone from the server, which now runs another version or cannot be reached. */
function Stale(): JSX.Element {
  return (
    <section class="page narrow">
      <h1>This page could not be loaded</h1>
      <p>The server may have been updated since this tab was opened, or it cannot be reached.</p>
      <button type="button" class="button primary" onClick={() => location.reload()}>
        Reload
      </button>
    </section>
  );
}

/** Keeps an error in one page from breaking the rest. */
class Guard extends Component<{ children: ComponentChildren }, { error?: Error }> {
  override componentDidCatch(error: Error): void {
    this.setState({ error });
  }
  override render(): ComponentChildren {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <section class="page narrow" role="alert">
        <h1>This page failed</h1>
        <p>It is a fault of this page, not of your workspace. Reloading may help; a report should hold these lines:</p>
        <pre class="log">{error.stack ?? error.message}</pre>
        <button type="button" class="button primary" onClick={() => location.reload()}>
          Reload
        </button>
      </section>
    );
  }
}
