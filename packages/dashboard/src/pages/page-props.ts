export interface PageProps {
  /** Of the address's path. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}
