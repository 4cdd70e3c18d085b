export interface ListenAddress {
  /** IP address or host name; "" listens on every address. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
}

export function formatListenAddress(address: ListenAddress): string {
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Whether the address can be reached only from this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
