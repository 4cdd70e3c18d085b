/** A terminal over the WebSocket of this browser's region: the deployment's own, or that of a workspace proxy. */
import type { SIGNED_APP_TOKEN_PARAMETER } from "coder-protocol/rest/proxy-apps";
import { ApiError } from "../api/client.ts";
import { type Region, terminalToken } from "../api/regions.ts";
import { socketUrl } from "../api/socket-url.ts";
import { regions } from "../regions/regions.ts";
import type { OpenTransport, TerminalTransport } from "./transport.ts";
import { openSocket, ptyPath } from "./web-socket-transport.ts";

/** Spelled out, and checked by its type, because the module that defines it would bring in the schema library. */
const TOKEN_PARAMETER: typeof SIGNED_APP_TOKEN_PARAMETER = "coder_signed_app_token";

export const openAtRegion: OpenTransport = (target, size, events) => {
  const life = new AbortController();
  let inner: TerminalTransport | undefined;
  const path = ptyPath(target, size);
  const atProxy = async (region: Region): Promise<void> => {
    const url = new URL(`/api/v2${path}`, region.path_app_url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    let opened = false;
    try {
      const token = await terminalToken(`${url.origin}${url.pathname}`, target.agentId, life.signal);
      if (life.signal.aborted) return;
      url.searchParams.set(TOKEN_PARAMETER, token);
    } catch (error) {
      if (life.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      regions.failed(region.id);
      events.closed({ kind: "unknown" });
      return;
    }
    inner = openSocket(url.href, {
      ...events,
      opened: () => {
        opened = true;
        events.opened();
      },
      closed: (end) => {
        // Makes the next attempt use the deployment itself.
        if (!opened) regions.failed(region.id);
        events.closed(end);
      },
    });
  };
  void regions.carrier().then((region) => {
    if (life.signal.aborted) return;
    if (region !== undefined) return atProxy(region);
    inner = openSocket(socketUrl(path), events);
    return undefined;
  });
  return {
    input: (message) => inner?.input(message) ?? false,
    control: (control) => inner?.control(control),
    close: () => {
      life.abort();
      inner?.close();
    },
  };
};
