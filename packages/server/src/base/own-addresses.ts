import { isLoopback, type ListenAddress } from "./listen-address.ts";

export interface AddressSettings {
  readonly accessUrl: URL | undefined;
  readonly http: ListenAddress | undefined;
  readonly tls: { readonly address: ListenAddress } | undefined;
  /** Requests under other names are redirected, so the server reaches itself by the access URL as well. */
  readonly redirectToAccessUrl: boolean;
}

/** Browsers resolve names below `localhost` to this machine (RFC 6761 §6.3). */
export const TRIAL_HOST = "coder.localhost";

/** Whether the server has no access URL and is reached from its own machine alone. */
export function isTrial({ accessUrl, http, tls }: Omit<AddressSettings, "redirectToAccessUrl">): boolean {
  return accessUrl === undefined && tls === undefined && http !== undefined && isLoopback(http.host);
}

/** How the server is reached: as configured and, once it listens, as bound. Every part shares this one object. */
export class OwnAddresses {
  readonly #settings: AddressSettings;
  #http: ListenAddress | undefined;
  #tls: ListenAddress | undefined;
  #stunPort: number | undefined;

  constructor(settings: AddressSettings) {
    this.#settings = settings;
  }

  /** Where clients and agents reach the server. Final once it listens: port 0 is not known before. */
  accessUrl(): URL {
    return this.#settings.accessUrl ?? this.#listeningUrl(this.#settings.tls !== undefined);
  }

  /**
   * Where browsers reach the server. A server that is tried on one machine has a name of its own for them: cookies know no port,
   * and those of `localhost` would reach every program that listens there.
   */
  browserUrl(): URL {
    const url = this.accessUrl();
    if (!isTrial(this.#settings)) return url;
    return new URL(`http://${TRIAL_HOST}:${url.port}`);
  }

  /** Where the server reaches itself: plain http while that is bound, since no certificate names a loopback address. */
  ownUrl(): URL {
    const elsewhere = this.#http === undefined || this.#settings.redirectToAccessUrl;
    return elsewhere ? this.accessUrl() : this.#listeningUrl(false);
  }

  /** UDP port of the server's own STUN server; undefined while there is none. */
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
    // The address of all interfaces cannot be dialled.
    const name = host === "" || host === "::" || host === "0.0.0.0" ? "127.0.0.1" : host;
    return new URL(`${secure ? "https" : "http"}://${name.includes(":") ? `[${name}]` : name}:${at?.port ?? 0}`);
  }
}
