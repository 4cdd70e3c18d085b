import { isLoopback, type ListenAddress } from "./listen-address.ts";

export interface AddressSettings {
  readonly accessUrl: URL | undefined;
  readonly http: ListenAddress | undefined;
  readonly tls: { readonly address: ListenAddress } | undefined;
  /** Requests under other names are redirected, so the server addresses itself by the access URL as well. */
  readonly redirectToAccessUrl: boolean;
}

/** Browsers resolve names below `localhost` to this machine (RFC 6761 §6.3). */
export const TRIAL_HOST = "coder.localhost";

/** Whether the server has no access URL and is reachable only from its own machine. */
export function isTrial({ accessUrl, http, tls }: Omit<AddressSettings, "redirectToAccessUrl">): boolean {
  return accessUrl === undefined && tls === undefined && http !== undefined && isLoopback(http.host);
}

/** The server's own addresses: as configured and, once it listens, as bound. All parts share this one object. */
export class OwnAddresses {
  readonly #settings: AddressSettings;
  #http: ListenAddress | undefined;
  #tls: ListenAddress | undefined;
  #stunPort: number | undefined;

  constructor(settings: AddressSettings) {
    this.#settings = settings;
  }

  /**
   * Where clients and agents reach the server. Final only once it listens: if the configured port is 0, the real one is unknown
   * before.
   */
  accessUrl(): URL {
    return this.#settings.accessUrl ?? this.#listeningUrl(this.#settings.tls !== undefined);
  }

  /**
   * Where browsers reach the server. A server that is tried on one machine gets its own name for them: cookies ignore the port,
   * so those of `localhost` would reach every program that listens there.
   */
  browserUrl(): URL {
    const url = this.accessUrl();
    if (!isTrial(this.#settings)) return url;
    return new URL(`http://${TRIAL_HOST}:${url.port}`);
  }

  /** Where the server reaches itself: plain http if available, since no certificate names a loopback address. */
  ownUrl(): URL {
    const elsewhere = this.#http === undefined || this.#settings.redirectToAccessUrl;
    return elsewhere ? this.accessUrl() : this.#listeningUrl(false);
  }

  /** UDP port of the server's own STUN server; undefined if it is not running. */
  stunPort(): number | undefined {
    return this.#stunPort;
  }

  httpBound(address: ListenAddress): void {
    this.#http = address;
  }

  tlsBound(address: ListenAddress): void {
    this.#tls = address;
  }

  stunBound(port: number): void {
    this.#stunPort = port;
  }

  #listeningUrl(secure: boolean): URL {
    const at = secure ? (this.#tls ?? this.#settings.tls?.address) : (this.#http ?? this.#settings.http);
    const host = at?.host ?? "";
    // The wildcard address cannot be dialled.
    const name = host === "" || host === "::" || host === "0.0.0.0" ? "127.0.0.1" : host;
    return new URL(`${secure ? "https" : "http"}://${name.includes(":") ? `[${name}]` : name}:${at?.port ?? 0}`);
  }
}
